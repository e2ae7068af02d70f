"""Any web server: events are posted to its root, and what it serves beside that is called through /fn."""

from __future__ import annotations

from penstock.invocation import Invocation
from workers.protocols.plain import Plain


class Http(Plain):
    health = None

    def event(self, invocation: Invocation) -> tuple[str, str]:
        return "POST", "/"
