"""Processes for slots, forked in a few milliseconds from one that has imported what they need (zygote.py).

It is forked itself before this process has a loop or a thread, so that nothing of either is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime import zygote

_LONGEST = 64 * 1024


class Refused(Exception):
    """Nothing can be forked; the message says why."""


class Forked:
    """A process that was forked for us by another."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Its exit code, or minus the signal."""

    @property
    def returncode(self) -> int | None:
        return self.ended.result() if self.ended.done() else None

    def kill(self) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    def end(self, code: int) -> None:
        os.close(self._pidfd)
        self.ended.set_result(code)


class Forks:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._orders = itertools.count()
        self._forks: dict[int, asyncio.Future[Forked]] = {}
        self._running: dict[int, Forked] = {}
        self._loaded: asyncio.Future[str | None] | None = None

    @classmethod
    def start(cls, modules: Sequence[str], serve: Callable[[socket.socket], None]) -> Forks:
        """Call it before there is a loop or a thread. `serve`: what a fork does with its connection."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        if os.fork() == 0:
            ours.close()
            zygote.beside(theirs, modules, parent, lambda order, fds: serve(socket.socket(fileno=fds[0])))
        theirs.close()
        ours.setblocking(False)
        return cls(ours)

    async def fork(self, connection: socket.socket) -> Forked:
        """A process that serves a slot over this connection. Raises Refused."""
        if self._loaded is None:
            loop = asyncio.get_running_loop()
            self._loaded = loop.create_future()
            loop.add_reader(self._connection, self._hear)
        refusal = await asyncio.shield(self._loaded)
        if refusal is not None:
            raise Refused(refusal)
        number = next(self._orders)
        forked: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._forks[number] = forked
        try:
            socket.send_fds(self._connection, [json.dumps({"fork": number}).encode()], [connection.fileno()])
            return await forked
        except OSError as error:
            raise Refused(f"the fork server does not answer: {error}") from error
        finally:
            del self._forks[number]

    def _hear(self) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(self._connection, _LONGEST, 1)
        except BlockingIOError:
            return
        if not message:
            self._gone()
        else:
            self._heard(json.loads(message), fds)

    def _heard(self, said: Mapping[str, Any], fds: Sequence[int]) -> None:
        if "forked" in said:
            process = self._running[said["pid"]] = Forked(said["pid"], fds[0])
            forked = self._forks.get(said["forked"])
            if forked is None or forked.done():
                process.kill()  # whoever wanted it has left
            else:
                forked.set_result(process)
        elif "ended" in said:
            process = self._running.pop(said["ended"])
            process.end(said["code"])
        else:
            assert self._loaded is not None, "it was asked first"
            self._loaded.set_result(said.get("refused"))

    def _gone(self) -> None:
        """The fork server has died, and all that it forked with it."""
        asyncio.get_running_loop().remove_reader(self._connection)
        assert self._loaded is not None, "it was asked first"
        if not self._loaded.done():
            self._loaded.set_result("the fork server ended while it was loading; the log says why")
        elif self._loaded.result() is None:
            # Without it no slot can be filled again: whoever started this instance replaces it.
            sys.stderr.write("the fork server of the slots has ended, and so does this instance\n")
            os._exit(1)
