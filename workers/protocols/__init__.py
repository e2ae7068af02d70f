"""How containers want to be called: one small file per vendor's contract, chosen by `protocol` of a spec.

HTTP calls (`/fn/…`) pass through every one of them untouched. All of it is pure: the channel does what they say.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.protocols.cog import Cog
from workers.protocols.fc import Fc
from workers.protocols.http import Http
from workers.protocols.sagemaker import SageMaker
from workers.protocols.wire import Wire

WIRES: Mapping[str, Wire] = {"fc": Fc(), "http": Http(), "cog": Cog(), "sagemaker": SageMaker()}
"""By the name that specs give them."""
