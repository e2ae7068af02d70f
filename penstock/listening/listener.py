"""Accepts connections for an aiohttp application: counts them, gives each its limits, and looks after them.

We accept ourselves, since only there a connection that is one too many costs nothing, and a TLS handshake counts
before it is done.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import sys
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, web

from penstock import clock
from penstock.listening.connection import Connection, Refuse, wire
from penstock.listening.limits import Census, Limits
from penstock.listening.tls import Certificate
from penstock.tasks import cancel

log = logging.getLogger(__name__)

_PERIOD = 1.0
_BACKLOG = 1024
_BATCH = 64
"""Connections that are accepted in one turn."""
_PAUSE = 0.5
"""Seconds without accepting after the system had no room for a connection."""
_TELL_AGAIN = 60.0
_ASK_AGAIN = 5
"""Seconds that whoever is one too many is told to wait."""
_TLS_CLOSE = 5.0


class Listener:
    def __init__(
        self,
        runner: web.BaseRunner,
        limits: Limits,
        refuse: Refuse,
        certificate: Certificate | None = None,
        **options: Any,
    ) -> None:
        """The runner is set up. `options`: of aiohttp's RequestHandler."""
        assert runner.server is not None, "the runner is set up"
        self._server = runner.server
        self._request = self._server.request_factory
        self._server.request_factory = self._begin
        self._limits = limits
        self._refuse = refuse
        self._certificate = certificate
        self._options = {"access_log": None, **options}
        self._loop = asyncio.get_running_loop()
        self._census = Census(limits)
        self._open: dict[Connection, str] = {}
        """Those that entered → their address; one in a TLS handshake, too."""
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._told = float("-inf")
        self.turned_away = 0
        """Connections that were one too many."""

    def listen(self, *sockets: socket.socket) -> None:
        """Accepts on these, which are bound."""
        for sock in sockets:
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                # The kernel ends whoever takes nothing of what is sent to it, or is not there any more;
                # connections inherit it.
                milliseconds = int(self._limits.write_timeout * 1000)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            sock.listen(_BACKLOG)
            self._sockets.append(sock)
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    async def watch(self) -> None:
        """Loop: ends what takes too long."""
        shortest = min(self._limits.header_timeout, self._limits.body_timeout, self._limits.write_timeout)
        period = min(_PERIOD, shortest / 4)
        while True:
            await asyncio.sleep(period)
            by_then = self._loop.time() + period  # at the next look it would be too late
            for connection in tuple(self._open):
                connection.look(by_then)

    async def close(self) -> None:
        """Accepts no more; the runner ends those that stand."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()
        await cancel(self._opening)

    @property
    def count(self) -> int:
        """Connections that stand."""
        return self._census.count

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                sock, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor is left, or no memory
                self._tell("cannot accept connections: %s", error)
                self._loop.remove_reader(listening.fileno())
                self._loop.call_later(_PAUSE, self._resume, listening)
                return
            sock.setblocking(False)
            address = peer[0].partition("%")[0] if sock.family != socket.AF_UNIX else ""
            refused = self._census.enter(address)
            if refused is None:
                self._spawn(sock, address)
            else:
                self._turn_away(sock, refused)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _spawn(self, sock: socket.socket, address: str) -> None:
        connection = Connection(
            self._server, sock, self._limits, self._refuse, self._left, loop=self._loop, **self._options
        )
        self._open[connection] = address
        task = self._loop.create_task(self._serve(sock, connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _serve(self, sock: socket.socket, connection: Connection) -> None:
        tls: dict[str, Any] = {}
        if self._certificate is not None:
            tls = {
                "ssl": self._certificate.context,
                "ssl_handshake_timeout": self._limits.header_timeout,
                "ssl_shutdown_timeout": _TLS_CLOSE,
            }
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **tls)
        except OSError as error:  # also what is no TLS, and what took too long
            log.debug("no connection came about: %s", error)
            self._left(connection)
            sock.close()
        except asyncio.CancelledError:
            self._left(connection)
            sock.close()
            raise

    def _left(self, connection: Connection) -> None:
        address = self._open.pop(connection, None)
        if address is not None:
            self._census.leave(address)

    def _turn_away(self, sock: socket.socket, why: str) -> None:
        self._tell("a connection was turned away: %s", why)
        self.turned_away += 1
        with sock:
            if self._certificate is not None:
                return  # before a handshake nothing can be said
            response = self._refuse(503, "too_many_connections", why)
            response.headers["Retry-After"] = str(_ASK_AGAIN)
            with suppress(OSError):
                sock.recv(65536)  # else the system tells the client of what was not read instead of what follows
            with suppress(OSError):
                sock.send(wire(response))

    def _tell(self, message: str, why: object) -> None:
        now = clock.monotonic()
        if now - self._told > _TELL_AGAIN:
            self._told = now
            log.warning(message, why)

    def _begin(
        self, message: Any, payload: StreamReader, protocol: web.RequestHandler, writer: Any, task: Any
    ) -> web.BaseRequest:
        if isinstance(protocol, Connection):
            message, payload = protocol.begin(message, payload)
        return self._request(message, payload, protocol, writer, task)


def descriptors(*, all_of_them: bool = True) -> int:
    """How many files this process may have open. `all_of_them`: it takes what it may take first, which processes
    that it starts inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if all_of_them:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def bind(host: str, port: int, *, share: bool = False) -> list[socket.socket]:
    """A socket for each address of `host`; `share`: others listen on the same port. Raises OSError."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
