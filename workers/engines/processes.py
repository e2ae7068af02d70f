"""A process of an instance: what it writes and how it ends, noticed without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from workers.engines import EngineError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Process:
    """One that runs in a group of its own."""

    def __init__(self, pid: int, pidfd: int, output: int, exit_code: Callable[[], Awaitable[int]]) -> None:
        """`output`: the end of the pipe that it writes to; this object closes both. `exit_code` is asked once it
        has ended."""
        self.pid = pid
        self._pidfd = pidfd
        self._output = output
        self._exit_code = exit_code
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Task[None] | None = None

    def follow(self, hear: Callable[[bytes], None]) -> None:
        """Has `hear` called with all that it writes, and `ended` set to its exit code after that."""
        os.set_blocking(self._output, False)
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                data = os.read(self._output, 65536)
            except BlockingIOError:
                return
            if data:
                hear(data)
            else:
                loop.remove_reader(self._output)

        def end() -> None:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            with contextlib.suppress(OSError):
                while data := os.read(self._output, 65536):
                    hear(data)
            loop.remove_reader(self._output)
            os.close(self._output)
            self.signal(signal.SIGKILL)  # what is left of its group
            self._ending = asyncio.create_task(self._end(), name=f"end of process {self.pid}")

        loop.add_reader(self._output, read)
        loop.add_reader(self._pidfd, end)

    def signal(self, number: int) -> None:
        """To its whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def _end(self) -> None:
        self.ended.set_result(await self._exit_code())


@dataclass(frozen=True)
class Talk:
    """Descriptors of one that is spoken to over its standard input and output; what it complains of is its log."""

    event: int
    answer: int


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None,
    handed: Sequence[int],
    talk: Talk | None = None,
) -> Process:
    """Starts one that dies with this process. `handed`: descriptors that it inherits. Raises EngineError."""
    popen = start(command, environment, folder, handed, output=subprocess.PIPE, talk=talk)
    log = popen.stdout if talk is None else popen.stderr
    assert log is not None
    output = os.dup(log.fileno())
    log.close()

    async def exit_code() -> int:
        return popen.wait()

    return Process(popen.pid, os.pidfd_open(popen.pid), output, exit_code)


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None,
    handed: Sequence[int],
    *,
    output: int | None,
    talk: Talk | None = None,
) -> subprocess.Popen[bytes]:
    """In a group of its own, in our session, until we die. Raises EngineError."""
    parent = os.getpid()

    def in_child() -> None:
        # In the parent's thread that forks, which is the one that lives as long as the process.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    try:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL if talk is None else talk.event,
            stdout=output if talk is None else talk.answer,
            stderr=subprocess.STDOUT if output is not None and talk is None else output,
            pass_fds=handed,
            process_group=0,  # its own group, in our session: killed as one, and dies with the session
            preexec_fn=in_child,
        )
    except OSError as error:
        raise EngineError(f"cannot run {command[0]}: {error.strerror}") from error
