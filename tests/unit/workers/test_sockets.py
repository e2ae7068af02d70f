"""Whether one of some processes listens on a port: real sockets of real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from workers.engines.sockets import one_listens

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
accepted = socket.create_connection(listener.getsockname())
print(listener.getsockname()[1], accepted.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[tuple[int, int, int]]:
    """Its process id, the port that it listens on, and one that it has connected from."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    listens, connected = process.stdout.readline().split()
    yield process.pid, int(listens), int(connected)
    process.kill()
    process.communicate()


def test_who_listens_is_found_among_several(server: tuple[int, int, int]) -> None:
    pid, port, _ = server
    assert one_listens([pid], port)
    assert one_listens([os.getpid(), pid], port)


def test_another_process_does_not_count(server: tuple[int, int, int]) -> None:
    _, port, _ = server
    assert not one_listens([os.getpid()], port)
    assert not one_listens([], port)


def test_a_port_that_it_is_connected_from_does_not_count(server: tuple[int, int, int]) -> None:
    pid, _, connected = server
    assert not one_listens([pid], connected)


def test_a_process_that_has_ended_listens_nowhere(server: tuple[int, int, int]) -> None:
    _, port, _ = server
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not one_listens([ended.pid], port)


def test_every_address_and_both_families_count() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        assert one_listens([os.getpid()], both.getsockname()[1])
    with socket.create_server(("0.0.0.0", 0)) as four:
        assert one_listens([os.getpid()], four.getsockname()[1])
