"""How this gateway listens, from its settings."""

from __future__ import annotations

import logging

from aiohttp import web

from gateway import problems
from gateway.accesslog import AccessLog
from penstock.errors import ConfigurationError
from penstock.listening import Certificate, Limits, Listener, descriptors, most_connections
from penstock.settings import GatewaySettings


def check(settings: GatewaySettings) -> None:
    """Raises ConfigurationError for what does not go together."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigurationError("settings gateway.tls_cert and gateway.tls_key go together: give both")
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise ConfigurationError("setting gateway.tls_client_ca needs gateway.tls_cert and gateway.tls_key")
    if "*" in settings.cors_origins and settings.cors_credentials:
        raise ConfigurationError(
            "setting gateway.cors_credentials needs origins by name in cors_origins, not *: no browser takes both"
        )
    if "*" in settings.cors_origins and settings.insecure:
        raise ConfigurationError(
            "setting gateway.cors_origins is *, and there are no keys: every web page that anybody here opens "
            "could call all functions; name the origins"
        )
    certificate(settings)


def certificate(settings: GatewaySettings) -> Certificate | None:
    """None: plain HTTP. Raises ConfigurationError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def listener(runner: web.AppRunner, settings: GatewaySettings, tls: Certificate | None) -> Listener:
    """Raises ConfigurationError."""
    try:
        connections = most_connections(settings.max_connections, descriptors())
    except ValueError as error:
        raise ConfigurationError(
            f"setting gateway.max_connections: {error} (got {settings.max_connections})"
        ) from None
    limits = Limits(
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        idle_timeout=settings.idle_timeout,
        write_timeout=settings.write_timeout,
        least_rate=settings.least_rate,
        connections=connections,
        connections_per_address=settings.max_connections_per_address,
        uncounted=settings.trusted_proxies,
    )
    # A body is the function's own, also a compressed one: what it holds is not for us to unpack.
    access = logging.getLogger("gateway.access") if settings.access_log else None
    return Listener(
        runner, limits, _refuse, tls, auto_decompress=False, access_log=access, access_log_class=AccessLog
    )


def _refuse(status: int, code: str, detail: str) -> web.Response:
    """Of a request that reaches no handler."""
    return problems.problem(status, code, detail, retryable=status in (408, 503))
