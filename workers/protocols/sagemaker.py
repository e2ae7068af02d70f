"""SageMaker's and Truss's containers: GET /ping says whether they may be called, events go to /invocations."""

from __future__ import annotations

from penstock.invocation import Invocation
from workers.protocols.plain import Plain


class SageMaker(Plain):
    health = "/ping"

    def event(self, invocation: Invocation) -> tuple[str, str]:
        return "POST", "/invocations"

    def healthy(self, status: int, body: bytes) -> bool:
        return status == 200
