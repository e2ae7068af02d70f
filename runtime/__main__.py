"""`python -P -m runtime`: serves the function that the environment names (settings.py)."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn

from runtime.application import application
from runtime.settings import Settings, put_secrets

if TYPE_CHECKING:
    from runtime.forks import Forks

_KEEP_ALIVE = 3600
"""Seconds; longer than any caller keeps a connection, so that the caller is the one that closes it."""


def main() -> None:
    put_secrets(os.environ)
    settings = Settings.read(os.environ)
    faulthandler.enable()  # a segmentation fault leaves its Python traceback in the log
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        application(settings, _forks(settings)),
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[_listening(settings)]))


def _forks(settings: Settings) -> Forks | None:
    """Only for slots that are processes; now, while there is no loop and no thread."""
    if settings.workers != "process":
        return None
    from runtime import child
    from runtime.forks import Forks

    return Forks.start(settings.preload, child.serve)


def _listening(settings: Settings) -> socket.socket:
    if settings.listen_fd is not None:
        listener = socket.socket(fileno=settings.listen_fd)
        listener.set_inheritable(False)
    else:
        listener = socket.create_server(("0.0.0.0", settings.port), backlog=1024)
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which accepted ones do
    # not, and uvicorn writes head and body apart: each answer would wait 40 ms for a delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


if __name__ == "__main__":
    main()
