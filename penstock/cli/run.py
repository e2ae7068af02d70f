"""`penstock run`: one instance of a folder's function on this machine, without Redis and without a gateway.

It is the process engine's own instance, started anew whenever a file of the folder changes. Its socket stays open
meanwhile: who calls then waits for the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import Set
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.blobs import DirectoryBlobs
from penstock.cli.folder import function_of
from penstock.cli.options import DataDir, EventOption, Folder, Handler
from penstock.cli.watch import look, until_changed
from penstock.errors import ConfigurationError
from penstock.function import Function, FunctionSpec
from penstock.settings import load
from workers.channel import Channel
from workers.engines import EngineError, Order
from workers.engines.images import wishes
from workers.engines.process import ProcessEngine
from workers.readiness import NotReady, wait_until_ready

_GRACE = 3.0
"""Seconds that an instance may take to end: whoever saves does not want to wait for a call that is stuck."""
_WEB = ("app", "application", "asgi_app", "wsgi_app")
"""What web applications are called."""


def run(
    folder: Folder,
    handler: Handler = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on, on this machine only.")] = 9000,
    event: EventOption = None,
    reload: Annotated[bool, typer.Option("--reload/--no-reload", help="Start anew when a file changes.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Run a folder's function on this machine, for trying it out. Ctrl-C ends it."""
    name, spec = function_of(folder, handler=handler, event=event)
    kept = load({"data_dir": data_dir}).folder
    logging.basicConfig(level="WARNING", format="penstock: %(message)s")
    _warn_of_python(Path(spec.path or ""))
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on port {port}: {os.strerror(error.errno or 0)}; give another --port"
        ) from None
    with listener:
        if not asyncio.run(_run(name, spec, listener, kept, reload)):
            raise typer.Exit(1)


async def _run(name: str, spec: FunctionSpec, listener: socket.socket, data_dir: Path, reload: bool) -> bool:
    return await _Run(name, spec, listener, data_dir).run(reload=reload)


class _Run:
    def __init__(self, name: str, spec: FunctionSpec, listener: socket.socket, data_dir: Path) -> None:
        self._function = Function(name=name, spec=spec, revision=1, digest="", created_at=0)
        self._folder = Path(spec.path or "")
        self._url = "http://{}:{}".format(*listener.getsockname())
        # No fork servers: they keep what they have loaded, and it may be what was changed.
        self._engine = ProcessEngine(
            data_dir=data_dir, deployment=f"run-{os.getpid()}", listener=listener.dup, fork_servers=0
        )
        self._engine.listen(_show)
        self._channel = Channel(DirectoryBlobs(data_dir / "blobs"), max_answer=2**20)
        self._numbers = itertools.count(1)
        self._instance = ""
        self._stop = asyncio.Event()

    async def run(self, *, reload: bool) -> bool:
        """Until it is told to stop; without `reload` also until the instance ends. True if it was told to."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        stop = asyncio.create_task(self._stop.wait())
        try:
            while reload and not stop.done():
                change = asyncio.create_task(until_changed(self._folder, look(self._folder)))
                await self._live_until({stop, change}, reload=True)
                if change.done():
                    _say(f"changed: {', '.join(change.result()[:3])}")
                change.cancel()
            if not reload:
                await self._live_until({stop}, reload=False)
            return stop.done()
        finally:
            stop.cancel()
            await self._engine.close(keep=False)
            await self._channel.close()

    async def _live_until(self, ends: Set[asyncio.Task[Any]], *, reload: bool) -> None:
        life = asyncio.create_task(self._live(reload))
        await asyncio.wait({life, *ends}, return_when=asyncio.FIRST_COMPLETED)
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life
        await self._engine.stop(self._instance, grace=_GRACE)

    async def _live(self, reload: bool) -> None:
        """Instances one after the other, as long as they become ready; without `reload` only one."""
        while await self._one() and reload:
            pass
        if reload:
            await asyncio.Event().wait()  # a change of the folder ends this

    async def _one(self) -> bool:
        """One instance from start to end; True if it became ready."""
        self._instance = f"{self._function.name}-{next(self._numbers)}"
        order = Order(instance=self._instance, function=self._function, epoch=1)
        try:
            await self._engine.prepare(self._function)
            endpoint = await self._engine.start(order)
            await wait_until_ready(
                self._channel, self._engine, order.instance, endpoint, self._function, lambda: None
            )
        except (EngineError, NotReady) as error:
            _say(f"{self._function.name} does not start: {error}", fg="red")
            return False
        _say(f"{self._function.name} is ready:  {self._sample()}", fg="green")
        code = await self._engine.exited(order.instance)
        _say(f"{self._function.name} ended with exit code {code}", fg="red")
        return True

    def _sample(self) -> str:
        handler, event = (self._function.spec.handler or "").rpartition(":")[2], self._function.spec.event
        if handler in _WEB:
            return f"curl {self._url}/"
        text = "hello" if event == "bytes" and handler != "lambda_handler" else '{"text": "hello"}'
        return f"curl -d '{text}' {self._url}/invoke"

    def _on_signal(self) -> None:
        if self._stop.is_set():
            os._exit(1)  # the second one: the instance dies with us
        self._stop.set()


def _show(instance: str, output: bytes, at: float) -> None:
    sys.stderr.buffer.write(output)
    sys.stderr.buffer.flush()


def _say(line: str, fg: str | None = None) -> None:
    typer.secho(line, fg=fg, err=True)


def _warn_of_python(folder: Path) -> None:
    wanted, ours = wishes(folder).python, f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted not in (None, ours):
        _say(f".python-version asks for {wanted}; without a container it runs on {ours}", fg="yellow")
