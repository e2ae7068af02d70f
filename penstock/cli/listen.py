"""`penstock listen`: receives callbacks, checks their signature and prints them, for trying them out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Annotated

import typer
from aiohttp import web

from penstock import webhooks
from penstock.cli.options import DataDir
from penstock.errors import ConfigurationError, InvalidSignature
from penstock.settings import load


def listen(
    port: Annotated[int, typer.Option(help="Port to listen on, on this machine only.")] = 9999,
    secret: Annotated[
        str | None, typer.Option(help="whsec_… that callbacks are signed with.  [default: that of the data-dir]")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Receive callbacks, verify them and print them."""
    settings = load({"callbacks.secret": secret, "data_dir": data_dir})
    file = settings.folder / "callback-secret"
    text = settings.callbacks.secret or (file.read_text() if file.exists() else "")
    keys = webhooks.parse_secrets(text)
    if not keys:
        raise ConfigurationError(
            f"no secret to verify with: {file} is not there yet (start `penstock up`), or give --secret"
        )
    asyncio.run(_listen(port, keys))


async def _listen(port: int, keys: tuple[bytes, ...]) -> None:
    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            payload = webhooks.verify(keys, request.headers, body)
        except InvalidSignature as error:
            typer.secho(f"refused: {error}", fg="red")
            return web.Response(status=401, text=f"{error}\n")
        typer.secho(f"verified {request.headers['webhook-id']}", fg="green")
        typer.echo(json.dumps(payload, indent=2))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on port {port}: {os.strerror(error.errno or 0)}; give another --port"
        ) from error
    typer.echo(f"Listening for callbacks on http://127.0.0.1:{port}/ (Ctrl-C ends)")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()
