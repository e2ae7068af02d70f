"""Carries what handlers say about their progress to the URL that came with the call.

One thread for all calls, started by the first report; a call never waits for it but for a moment at its end, and
never fails because of it.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from http.client import HTTPConnection

log = logging.getLogger("penstock.progress")

_MOST = 1000
"""Reports that wait; of more the oldest are dropped, since the latest say most."""
_TIMEOUT = 1.0
"""Seconds for connecting, and for each answer."""


class Reporter:
    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes] | Future[None]] = deque()
        """Reports as URL and line; a future is a flush, done when all before it is."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._connection: HTTPConnection | None = None
        self._warned = False

    def report(self, url: str, fraction: float | None, message: str | None) -> None:
        try:
            line = _line(fraction, message)
        except (TypeError, ValueError) as error:
            self._warn(f"progress({fraction!r}, {message!r}) is not sent: {error}")
            return
        with self._changed:
            if len(self._waiting) >= _MOST:
                self._drop_oldest()
            self._put((url, line))

    def flush(self) -> Future[None]:
        """Done when all that was reported before is sent, or is known not to arrive."""
        done: Future[None] = Future()
        with self._changed:
            self._put(done)
        return done

    def _put(self, one: tuple[str, bytes] | Future[None]) -> None:
        self._waiting.append(one)
        self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()

    def _drop_oldest(self) -> None:
        for index, one in enumerate(self._waiting):
            if isinstance(one, tuple):
                del self._waiting[index]
                return

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                first = self._waiting.popleft()
                lines = [] if isinstance(first, Future) else [first[1], *self._same(first[0])]
            if isinstance(first, Future):
                first.set_result(None)
                continue
            try:
                self._post(first[0], b"".join(lines))
            except Exception as error:
                self._warn(f"progress is not delivered: {type(error).__name__}: {error}")

    def _same(self, url: str) -> list[bytes]:
        """What waits next for the same URL: it travels in the same request."""
        lines = []
        while self._waiting and isinstance(one := self._waiting[0], tuple) and one[0] == url:
            lines.append(one[1])
            self._waiting.popleft()
        return lines

    def _post(self, url: str, body: bytes) -> None:
        from http.client import HTTPConnection, HTTPException

        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        kept = self._connection
        if kept is not None and (kept.host, kept.port) == (parts.hostname, parts.port or 80):
            try:
                return self._send(kept, target, body)
            except (OSError, HTTPException):
                pass  # the server may have closed it while it was idle
        if kept is not None:
            kept.close()
        self._connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT)
        return self._send(self._connection, target, body)

    @staticmethod
    def _send(connection: HTTPConnection, target: str, body: bytes) -> None:
        try:
            connection.request("POST", target, body, {"Content-Type": "application/x-ndjson"})
            connection.getresponse().read()  # a refusal means that the run is over: nothing can be done about it
        except BaseException:
            connection.close()
            raise

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s (said once)", text)


def _line(fraction: float | None, message: str | None) -> bytes:
    said: dict[str, float | str] = {}
    if fraction is not None:
        if not math.isfinite(fraction):
            raise ValueError("the fraction is no number")
        said["progress"] = min(1.0, max(0.0, float(fraction)))  # rounding makes 1.0000000000000002 of three thirds
    if message is not None:
        said["message"] = str(message)
    return json.dumps(said).encode() + b"\n"
