"""Function Compute's custom container: events are posted to /invoke as they are."""

from __future__ import annotations

from penstock.invocation import Invocation
from workers.protocols.plain import Plain


class Fc(Plain):
    health = None

    def event(self, invocation: Invocation) -> tuple[str, str]:
        return "POST", "/invoke"
