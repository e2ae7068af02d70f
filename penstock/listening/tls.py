"""The certificate of a listener: read at the start, and again whenever its files change, so that one that was
renewed serves without a restart. Connections that stand keep the one they began with."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from penstock.errors import ConfigurationError

log = logging.getLogger(__name__)

_PERIOD = 2.0


class Certificate:
    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        """`cert`: PEM, with the chain to its authority. `client_ca`: who signs the certificates that clients must
        show. Raises ConfigurationError."""
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._seen = self._look()
        self.context = self._load()
        """For new connections."""

    async def watch(self) -> None:
        """Loop: takes what is new."""
        while True:
            await asyncio.sleep(_PERIOD)
            await self.refresh()

    async def refresh(self) -> bool:
        """True if there was something new that serves from now on; files that do not fit are left for later."""
        seen = await asyncio.to_thread(self._look)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.context = await asyncio.to_thread(self._load)
        except ConfigurationError as error:
            # Between the writing of one file and of the other they do not fit; the next change tells.
            log.warning("the former certificate goes on: %s", error)
            return False
        log.info("serves the new certificate of %s", self._cert)
        return True

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        for name, path in (("tls_cert", self._cert), ("tls_key", self._key), ("tls_client_ca", self._client_ca)):
            _readable(name, path)
        try:
            # An empty password, since OpenSSL would ask a terminal for the one of an encrypted key.
            context.load_cert_chain(self._cert, self._key, password="")
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or str(error)
            raise ConfigurationError(
                f"setting gateway.tls_cert: {self._cert} and {self._key} are no certificate and its key, both PEM "
                f"and the key without a password ({why})"
            ) from None
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except ssl.SSLError as error:
                why = error.reason or str(error)
                raise ConfigurationError(
                    f"setting gateway.tls_client_ca: {self._client_ca} holds no certificate in PEM ({why})"
                ) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What changes with the files; a link that leads elsewhere does, too."""
        return tuple(
            None if path is None else _identity(path) for path in (self._cert, self._key, self._client_ca)
        )


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _readable(name: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"setting gateway.{name}: {path}: {error.strerror}") from None
