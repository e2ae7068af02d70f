"""The gateways of this machine that share a port: whoever is asked for metrics asks the others, too, since a
client cannot say which of them answers. Each listens on a Unix socket of the data-dir for that alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from gateway.inner import BrokenOff, InnerClient, NotThere
from penstock.sockets import socket_path


class Siblings:
    def __init__(self, data_dir: Path, number: int, inner: InnerClient) -> None:
        """`number` tells this process from the others, also after a restart; 0: it is the only one."""
        self.number = number
        self._inner = inner
        self._own = socket_path(data_dir, f"gateways/{number}.sock")
        self._runner: web.AppRunner | None = None

    async def open(self, exposition: Callable[[], Awaitable[str]]) -> None:
        """Serves this process's own metrics to the others. Raises OSError."""
        if not self.number:
            return

        async def metrics(request: web.Request) -> web.Response:
            return web.Response(text=await exposition())

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        self._own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own.unlink(missing_ok=True)
        await web.UnixSite(self._runner, self._own).start()
        self._own.chmod(0o600)

    async def expositions(self) -> list[str]:
        """Of all the others that live."""
        if not self.number:
            return []
        others = [path for path in self._own.parent.glob("*.sock") if path != self._own]
        found = await asyncio.gather(*(read_all(self._inner, f"unix:{path}", "/metrics") for path in others))
        return [text for text in found if text is not None]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            with contextlib.suppress(OSError):
                self._own.unlink()


async def read_all(inner: InnerClient, address: str, path: str) -> str | None:
    """All that lies there; None: nobody answers."""
    try:
        async with inner.read(address, path) as pieces:
            return b"".join([piece async for piece in pieces]).decode()
    except (NotThere, BrokenOff):
        return None
