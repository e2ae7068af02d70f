"""`python -P -m runtime`: serves the handler that the environment names.

PENSTOCK_FUNCTION     name of the function
PENSTOCK_HANDLER      module:function
PENSTOCK_CODE         folder that the module is in
PENSTOCK_EVENT        bytes | json
PENSTOCK_CONCURRENCY  calls at a time
PENSTOCK_MEMORY       MiB
PENSTOCK_LISTEN_FD    a listening socket that was handed down, or else
PORT                  where to listen
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

import uvicorn

from runtime.context import Context, FunctionInfo
from runtime.loader import load
from runtime.server import Application

_KEEP_ALIVE = 3600
"""Seconds; longer than any caller keeps a connection, so that the caller is the one that closes it."""


def main() -> None:
    environment = os.environ
    handler = environment.get("PENSTOCK_HANDLER", "app:handler")
    folder = environment.get("PENSTOCK_CODE", "/code")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    name = environment.get("PENSTOCK_FUNCTION", "function")
    memory = int(environment.get("PENSTOCK_MEMORY", "0"))
    context = Context(
        function=FunctionInfo(name=name, handler=handler, memory=memory), logger=logging.getLogger(name)
    )
    application = Application(
        lambda: load(handler, folder),
        context,
        event=environment.get("PENSTOCK_EVENT", "bytes"),
        concurrency=int(environment.get("PENSTOCK_CONCURRENCY", "1")),
    )
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[_listening()]))


def _listening() -> socket.socket:
    inherited = os.environ.get("PENSTOCK_LISTEN_FD")
    if inherited:
        listener = socket.socket(fileno=int(inherited))
    else:
        listener = socket.create_server(("0.0.0.0", int(os.environ.get("PORT", "9000"))), backlog=1024)
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which accepted ones do
    # not, and uvicorn writes head and body apart: each answer would wait 40 ms for a delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


if __name__ == "__main__":
    main()
