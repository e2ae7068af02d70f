"""Fork servers: processes that have imported what instances need, and fork them in a few milliseconds.

One for each interpreter and set of preloaded modules, however many functions share them. What a zygote forks dies
with it, and it dies with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.engines import EngineError
from workers.engines.processes import Process, start

log = logging.getLogger(__name__)

_ROOM = 16 * 1024
"""Bytes that a fork has to show its own environment in /proc."""
_LOAD_TIMEOUT = 60.0
_FORK_TIMEOUT = 5.0
_EXIT_TIMEOUT = 1.0
_LONGEST = 64 * 1024


class Zygote:
    def __init__(self, popen: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._popen = popen
        self._connection = connection
        loop = asyncio.get_running_loop()
        self.loaded: asyncio.Future[str | None] = loop.create_future()
        """Why it will not fork; None: it will."""
        self.alive = True
        self._orders = itertools.count()
        self._forks: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self._ends: dict[int, asyncio.Future[int]] = {}
        """Of processes that run, and of those whose end was told before anybody asked."""
        self.running: set[int] = set()
        connection.setblocking(False)
        loop.add_reader(connection, self._hear)

    async def fork(self, environment: Mapping[str, str], folder: str, listener: int) -> Process:
        """An instance that serves on a listening socket. Raises EngineError."""
        output, write = os.pipe2(os.O_CLOEXEC)
        number = next(self._orders)
        forked = self._forks[number] = asyncio.get_running_loop().create_future()
        order = {"fork": number, "env": dict(environment), "cwd": folder}
        try:
            socket.send_fds(self._connection, [json.dumps(order).encode()], [listener, write])
            pid, pidfd = await asyncio.wait_for(forked, _FORK_TIMEOUT)
        except (OSError, TimeoutError) as error:
            os.close(output)
            self.close()
            raise EngineError(f"the fork server does not answer: {str(error) or 'timeout'}") from error
        finally:
            self._forks.pop(number, None)
            os.close(write)

        async def exit_code() -> int:
            try:
                return await asyncio.wait_for(self._end_of(pid), _EXIT_TIMEOUT)
            except TimeoutError:
                return -signal.SIGKILL  # it went with its zygote
            finally:
                self.running.discard(pid)
                self._ends.pop(pid, None)

        self.running.add(pid)
        return Process(pid, pidfd, output, exit_code)

    def close(self) -> None:
        """Ends it, and all that it forked."""
        if not self.alive:
            return
        self.alive = False
        asyncio.get_running_loop().remove_reader(self._connection)
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if not self.loaded.done():
            self.loaded.set_result("it ended while it was loading; its log says why")
        for forked in self._forks.values():
            if not forked.done():
                forked.set_exception(OSError("it ended"))

    def _end_of(self, pid: int) -> asyncio.Future[int]:
        return self._ends.setdefault(pid, asyncio.get_running_loop().create_future())

    def _hear(self) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(self._connection, _LONGEST, 1)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        if not message:
            self.close()
            return
        self._heard(json.loads(message), fds)

    def _heard(self, said: Mapping[str, Any], fds: list[int]) -> None:
        if "forked" in said:
            forked = self._forks.get(said["forked"])
            if forked is not None and not forked.done():
                forked.set_result((said["pid"], fds[0]))
        elif "ended" in said:
            end = self._end_of(said["ended"])
            if not end.done():
                end.set_result(said["code"])
        elif not self.loaded.done():
            self.loaded.set_result(said.get("refused"))


_Key = tuple[Path, tuple[str, ...], frozenset[tuple[str, str]]]


class Zygotes:
    def __init__(self, deployment: str, *, keep: int) -> None:
        """`keep`: how many stay that nothing runs of; the one that was asked for longest ago goes first."""
        self._deployment = deployment
        self._keep = keep
        self._zygotes: dict[_Key, Zygote] = {}

    @property
    def has_room(self) -> bool:
        """True if another one would not send one away."""
        return len(self._zygotes) < self._keep

    async def get(self, python: Path, preload: Sequence[str], environment: Mapping[str, str]) -> Zygote:
        """The one for this interpreter, these modules and what they shall find in their environment; started if
        need be. Raises EngineError."""
        key = (python, tuple(preload), frozenset(environment.items()))
        zygote = self._zygotes.pop(key, None)
        if zygote is None or not zygote.alive:
            zygote = self._start(python, preload, environment)
        self._zygotes[key] = zygote  # the latest stands last
        self._let_go()
        try:
            refusal = await asyncio.wait_for(asyncio.shield(zygote.loaded), _LOAD_TIMEOUT)
        except TimeoutError:
            refusal = f"it has not loaded {', '.join(preload) or 'our own server'} within {_LOAD_TIMEOUT:g} s"
        if refusal is not None:
            self._zygotes.pop(key, None)
            zygote.close()
            raise EngineError(f"fork server: {refusal}")
        return zygote

    def close(self) -> None:
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()

    def _start(self, python: Path, preload: Sequence[str], more: Mapping[str, str]) -> Zygote:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        environment = inherited | {
            "PYTHONUNBUFFERED": "1",
            "PENSTOCK_DEPLOYMENT": self._deployment,
            "PENSTOCK_ZYGOTE": " " * _ROOM,
            **more,
        }
        command = (str(python), "-P", "-m", "runtime.forkserver", str(theirs.fileno()), *preload)
        with theirs:
            return Zygote(start(command, environment, None, [theirs.fileno()], output=None), ours)

    def _let_go(self) -> None:
        idle = [key for key, zygote in self._zygotes.items() if not zygote.running]
        for key in idle[: -self._keep]:
            self._zygotes.pop(key).close()
