"""A fork server: imports once what every fork needs, and forks them in a few milliseconds.

What it imports is our own server and the modules that are named; never a handler's own. It stays free of threads
of its own and of GPUs, so that what it forks starts as if it were new. Over a socket, one JSON object each:

    ← {"loaded": milliseconds} · {"refused": why}, once
    → {"fork": number, …}, with descriptors: what a fork does with both is `become`
    ← {"forked": number, "pid": …}, with its pidfd · {"ended": pid, "code": exit code, or minus the signal}

It dies with its parent, and all that it forked dies with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import random
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_LONGEST = 1024 * 1024
_LATE = (
    *("asyncio.selector_events", "encodings.idna"),
    *("uvicorn.lifespan.on", "uvicorn.loops.asyncio", "uvicorn.protocols.http.httptools_impl"),
    *("runtime.asgi", "runtime.batcher", "runtime.wsgi"),
)
"""What an instance would import only as it starts, or as its function needs it."""


Become = Callable[[Mapping[str, Any], Sequence[int]], None]
"""What a fork does with its order and the descriptors that came with it; when it returns, the fork ends."""


def beside(connection: socket.socket, modules: Sequence[str], parent: int, become: Become) -> NoReturn:
    """What remains of the life of a process that was forked to serve another one, whose slots it forks."""
    try:
        _die_with(parent)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # for the other one to act on
        serve(connection, modules, become)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def serve(connection: socket.socket, modules: Sequence[str], become: Become) -> None:
    """Until the other end is gone."""
    began = time.monotonic()
    refusal = _preload([*_LATE, *modules])
    if refusal is not None:
        _say(connection, {"refused": refusal})
        return
    gc.collect()
    gc.freeze()  # a collection would copy every page that it touches
    _say(connection, {"loaded": round((time.monotonic() - began) * 1000, 1)})
    _serve(connection, become)


def _preload(modules: Sequence[str]) -> str | None:
    """Why it cannot be forked from what these leave behind; None: it can."""
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return f"preload {name}: {type(error).__name__}: {error}"
        if threading.active_count() > 1:
            return f"preload {name}: it starts threads, which a fork would lose; import it in the handler's module"
        if any("/dev/nvidia" in _target(fd) for fd in Path("/proc/self/fd").iterdir()):
            return f"preload {name}: it opens a GPU, which no fork can share; import it in the handler's module"
    return None


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:
        return ""


def _serve(connection: socket.socket, become: Become) -> None:
    awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    selector.register(awake, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if awake in ready:
            os.read(awake, 4096)
            _reap(connection)
        if connection in ready:
            message, fds, _, _ = socket.recv_fds(connection, _LONGEST, 2)
            if not message:
                return
            _fork(connection, selector, become, json.loads(message), fds)


def _reap(connection: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(connection, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _fork(
    connection: socket.socket,
    selector: selectors.BaseSelector,
    become: Become,
    order: Mapping[str, Any],
    fds: Sequence[int],
) -> None:
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        selector.close()
        connection.close()
        _live(zygote, become, order, fds)
    pidfd = os.pidfd_open(pid)  # before it can be reaped: nobody else may have its number by then
    for fd in fds:
        os.close(fd)
    socket.send_fds(connection, [json.dumps({"forked": order["fork"], "pid": pid}).encode()], [pidfd])
    os.close(pidfd)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _live(zygote: int, become: Become, order: Mapping[str, Any], fds: Sequence[int]) -> NoReturn:
    """All of a fork's life."""
    code = 1
    try:
        _die_with(zygote)
        random.seed()
        if (numpy := sys.modules.get("numpy")) is not None:
            numpy.random.seed()
        become(order, fds)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.send(json.dumps(message).encode())
