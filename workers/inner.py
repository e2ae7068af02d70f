"""The inner listener: where gateways read answers and logs while they come, and containers report progress.

On a Unix socket for gateways of this machine, or on an address of the settings for others; and on each address
under which instances reach this process. Every path holds a signature that gives the right to this one thing.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from penstock.listening import Limits, Listener, bind, descriptors, most_connections
from workers.live import LiveRun, LiveRuns, sign
from workers.logs import Logs
from workers.recording import BrokenOff

log = logging.getLogger(__name__)

_LIMITS = Limits(
    body_timeout=60.0,
    idle_timeout=300.0,
    write_timeout=120.0,  # a gateway reads no faster than its own client
    least_rate=1.0,
    connections_per_address=1_000,
)
_LONGEST_REPORT = 64 * 1024
_LONGEST_MESSAGE = 1_000
_WANTED = 'send {"progress": 0.4, "message": "step 12/30"}, either of them, one report in a line'


class Inner:
    def __init__(self, runs: LiveRuns, logs: Logs, key: bytes, more: Iterable[web.AbstractRouteDef] = ()) -> None:
        """`key` signs the right to read logs. `more`: routes beside those for answers, logs and progress."""
        self._runs = runs
        self._logs = logs
        self._logs_signature = sign(key, "logs")
        app = web.Application(client_max_size=_LONGEST_REPORT)
        run = "/runs/{function}/{id}/{token:[0-9]+}/{signature}"
        app.router.add_get(run + "/answer", self._answer)
        app.router.add_post(run + "/progress", self._progress)
        app.router.add_get("/instances/{instance}/{signature}/logs", self._log)
        app.router.add_routes(more)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        self._listener: Listener | None = None
        self._reached: dict[str, str] = {}
        self._socket: Path | None = None

    @property
    def logs_path(self) -> str:
        """Where the log of an instance is read; `{instance}` stands for its id."""
        return "/instances/{instance}/" + self._logs_signature + "/logs"

    async def open(self, address: str, hosts: Iterable[str]) -> None:
        """Listens at `address` (unix:/path or http://host:port) for gateways, and on the hosts for instances.

        Raises OSError."""
        await self._runner.setup()
        limits = replace(_LIMITS, connections=most_connections(None, descriptors(all_of_them=False)))
        self._listener = Listener(self._runner, limits, lambda status, _, detail: _refusal(status, detail))
        if address.startswith("unix:"):
            self._socket = Path(address.removeprefix("unix:"))
            self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._socket.unlink(missing_ok=True)
            await web.UnixSite(self._runner, self._socket).start()
            self._socket.chmod(0o600)
        else:
            host, _, port = address.removeprefix("http://").rpartition(":")
            self._listener.listen(*bind(host.strip("[]"), int(port)))
        for host in hosts:
            (sock,) = bind(host, 0)
            self._listener.listen(sock)
            self._reached[host] = f"http://{host}:{sock.getsockname()[1]}"

    async def watch(self) -> None:
        """Loop: ends connections over TCP that take too long; a container may hold as many as it can open."""
        assert self._listener is not None, "it is open"
        await self._listener.watch()

    def reached(self, host: str) -> str:
        """Where instances that see this process as `host` reach it: http://host:port."""
        return self._reached[host]

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
        await self._runner.cleanup()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.unlink()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        recording = run.recording if run is not None else None
        if recording is None or not recording.readable:
            return _refusal(404, "there is no such answer, or its beginning is gone: read the record at its end")
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        with recording.reader() as pieces:  # from here on it waits for this one
            await response.prepare(request)
            try:
                async for piece in pieces:
                    await response.write(piece)
            except BrokenOff:
                _break_off(request)
                return response
        await response.write_eof()
        return response

    async def _progress(self, request: web.Request) -> web.Response:
        run = self._run(request)
        if run is None:
            return _refusal(409, "the run is over, or this is not its URL")
        try:
            reports = [_report(line) for line in (await request.read()).splitlines() if line.strip()]
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, f"these are more than {_LONGEST_REPORT} bytes: report less at a time")
        except ValueError as error:
            return _refusal(400, str(error))
        if not reports:
            return _refusal(400, f"there is no report in it: {_WANTED}")
        return web.Response(status=204) if await run.narrator.report(reports) else _refusal(409, "the run is over")

    async def _log(self, request: web.Request) -> web.StreamResponse:
        instance, function = request.match_info["instance"], request.query["function"]
        signed = hmac.compare_digest(request.match_info["signature"].encode(), self._logs_signature.encode())
        if not (signed and instance.rpartition("-")[0] == function and self._logs.knows(instance)):
            return _refusal(404, "there is no such log")
        count = int(request.query["tail"])
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        if "follow" not in request.query:
            await response.write("".join(f"{line}\n" for line in self._logs.latest(instance, count)).encode())
        else:
            async with contextlib.aclosing(self._logs.follow(instance, count)) as lines:
                async for line in lines:
                    await response.write(f"{line}\n".encode())
        await response.write_eof()
        return response

    def _run(self, request: web.Request) -> LiveRun | None:
        named = request.match_info
        return self._runs.find(named["function"], named["id"], int(named["token"]), named["signature"])


def _report(line: bytes) -> str:
    """One report of progress as it is stored. Raises ValueError."""
    try:
        given = json.loads(line)
    except ValueError:
        raise ValueError(f"this is not JSON: {_WANTED}") from None
    if not isinstance(given, dict) or not given or given.keys() - {"progress", "message"}:
        raise ValueError(f"this is no report of progress: {_WANTED}")
    progress, message = given.get("progress"), given.get("message")
    number = isinstance(progress, int | float) and not isinstance(progress, bool) and 0 <= progress <= 1
    if progress is not None and not number:
        raise ValueError(f"progress {progress!r} is not a number from 0 to 1: {_WANTED}")
    if message is not None and not (isinstance(message, str) and len(message) <= _LONGEST_MESSAGE):
        raise ValueError(f"the message is no text of {_LONGEST_MESSAGE} characters at most: {_WANTED}")
    return json.dumps({"progress": progress, "message": message})


def _refusal(status: int, detail: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status)


def _break_off(request: web.Request) -> None:
    """Without its last chunk: whoever reads it knows that it is not whole."""
    if request.transport is not None:
        request.transport.abort()
