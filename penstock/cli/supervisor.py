"""The processes of `penstock up`: started, watched, started again, and never left behind.

They stay in our session but in process groups of their own, so that Ctrl-C reaches us alone and we stop them
in order. When we die without a word the kernel kills them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LONGEST_PAUSE = 10.0
_libc = ctypes.CDLL(None)


class Child:
    """One process that shall run for as long as we do."""

    def __init__(
        self,
        name: str,
        command: Callable[[], Sequence[str]],
        environment: dict[str, str],
        on_death: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`command` is asked at each start; `on_death` is called when it has died and before it is restarted."""
        self.name = name
        self._command = command
        self._environment = environment
        self._on_death = on_death
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self.stopping = False

    @property
    def started(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        parent = os.getpid()

        def in_child() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        self._ended = asyncio.Event()
        self._process = subprocess.Popen(
            self._command(),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=in_child,
        )
        pidfd = os.pidfd_open(self._process.pid)
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            assert self._process is not None
            self._process.wait()
            self._ended.set()

        loop.add_reader(pidfd, end)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode if self._process else None

    async def supervise(self) -> None:
        """Starts it again whenever it dies, after longer and longer pauses. Ends when it is stopped."""
        pause = 0.1
        while True:
            await self._ended.wait()
            if self.stopping:
                return
            log.error("%s died with exit code %s; starting it again", self.name, self.exit_code)
            if self._on_death is not None:
                await self._on_death()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            if self.stopping:
                return
            self.start()

    async def stop(self) -> None:
        """SIGTERM, and waits for as long as it takes."""
        self.stopping = True
        self.signal(signal.SIGTERM)
        if self.started:
            await self._ended.wait()

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
