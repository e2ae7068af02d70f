"""Other vendors' wire formats, so that their own clients work with nothing but their endpoint changed.

Each translates onto the same calls (gateway/calls.py): same admission, queue, records, callbacks.
None has a state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway import problems
from gateway.dialects import (
    aws_lambda,
    fc,
    fc_configs,
    fc_domains,
    fc_functions,
    fc_versions,
    lambda_versions,
    replicate,
    runpod,
)
from gateway.problems import Shape

ROUTES = (
    *aws_lambda.ROUTES,
    *lambda_versions.ROUTES,
    *runpod.ROUTES,
    *replicate.ROUTES,
    *fc.ROUTES,
    *fc_configs.ROUTES,
    *fc_functions.ROUTES,
    *fc_domains.ROUTES,
    *fc_versions.ROUTES,
)

_SHAPES: Sequence[tuple[tuple[str, ...], Shape]] = (
    (aws_lambda.PREFIXES, aws_lambda.problem),
    (runpod.PREFIXES, runpod.problem),
    (fc.PREFIXES, fc.problem),
)
"""How errors look below which paths."""


def shape(path: str) -> Shape:
    """How an error looks to whoever asks for this path."""
    return next((shape for prefixes, shape in _SHAPES if path.startswith(prefixes)), problems.problem)
