"""Who speaks: the resource that every metric, span and log record of a process carries."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource

from penstock import __version__


def resource(service: str, instance: str) -> Resource:
    """`service` is gateway or workers; `instance` tells this process from its like. What OTEL_RESOURCE_ATTRIBUTES
    and OTEL_SERVICE_NAME say is added by the SDK."""
    return Resource.create(
        {
            "service.name": f"penstock-{service}",
            "service.namespace": "penstock",
            "service.version": __version__,
            "service.instance.id": instance,
        }
    )
