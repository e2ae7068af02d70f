"""Echo: answers the body it got, unchanged. The smallest function there is, and handy to try a setup with."""

from typing import Any


def handler(event: bytes, context: Any) -> bytes:
    context.logger.info("echo of %d bytes, request %s", len(event), context.request_id)
    return event
