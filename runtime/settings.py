"""What the environment of an instance says; read here alone.

PENSTOCK_FUNCTION     name of the function
PENSTOCK_HANDLER      module:function
PENSTOCK_CODE         folder that the module is in
PENSTOCK_EVENT        bytes | json
PENSTOCK_CONCURRENCY  calls at a time; when batching, batches at a time
PENSTOCK_WORKERS      thread | process: what a slot is
PENSTOCK_PRELOAD      modules that slots which are processes share, separated by spaces
PENSTOCK_BATCH_SIZE   most events that the handler gets at once; 0: it gets one, and no list
PENSTOCK_BATCH_WAIT   seconds that an event waits at most for others to come
PENSTOCK_MEMORY       MiB
PENSTOCK_SECRETS      names of its secrets, separated by spaces; each in the file that NAME_FILE says
PENSTOCK_LISTEN_FD    a listening socket that was handed down, or else
PORT                  where to listen
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass


def put_secrets(environment: MutableMapping[str, str]) -> None:
    """Makes each secret that is text a variable of its name, too, without the newline that ends its file."""
    for name in environment.get("PENSTOCK_SECRETS", "").split():
        with open(environment[f"{name}_FILE"], "rb") as file:  # noqa: PTH123 - pathlib costs each cold start
            value = file.read()
        with contextlib.suppress(ValueError):  # it is no text, or has a zero byte
            environment[name] = value.decode().removesuffix("\n").removesuffix("\r")


@dataclass(frozen=True, kw_only=True)
class Settings:
    function: str
    handler: str
    code: str
    event: str
    concurrency: int
    workers: str
    preload: tuple[str, ...]
    batch_size: int
    batch_wait: float
    memory: int
    listen_fd: int | None
    port: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        inherited = environment.get("PENSTOCK_LISTEN_FD")
        return cls(
            function=environment.get("PENSTOCK_FUNCTION", "function"),
            handler=environment.get("PENSTOCK_HANDLER", "app:handler"),
            code=environment.get("PENSTOCK_CODE", "/code"),
            event=environment.get("PENSTOCK_EVENT", "bytes"),
            concurrency=int(environment.get("PENSTOCK_CONCURRENCY", "1")),
            workers=environment.get("PENSTOCK_WORKERS", "thread"),
            preload=tuple(environment.get("PENSTOCK_PRELOAD", "").split()),
            batch_size=int(environment.get("PENSTOCK_BATCH_SIZE", "0")),
            batch_wait=float(environment.get("PENSTOCK_BATCH_WAIT", "0.01")),
            memory=int(environment.get("PENSTOCK_MEMORY", "0")),
            listen_fd=int(inherited) if inherited else None,
            port=int(environment.get("PORT", "9000")),
        )
