"""Provisioned instances as Serverless Devs prints them: the listing of `s provision list`. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

ACCOUNT = "local"
"""Stands where the vendor has an account's number."""
_STEP = "  "
_PLAIN = re.compile(r"[A-Za-z0-9/](?:[^:#\n]|:(?! )|(?<! )#)*(?<![ :])")
"""Text that YAML reads as it is written."""


def entry(
    *, service: str | None, function: str, qualifier: str, region: str | None, view: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What is printed of one function; None: nothing of it is provisioned. `view` is its provision config as the
    gateway shows it."""
    actions, policies = (_given(view[name]) for name in ("scheduledActions", "targetTrackingPolicies"))
    if not (view["defaultTarget"] or actions or policies):
        return None
    where = (
        {
            "serviceName": service,
            "qualifier": qualifier,
            "functionName": function,
            "resource": f"{ACCOUNT}#{service}#{qualifier}#{function}",
        }
        if service
        else {
            "qualifier": qualifier,
            "functionName": function,
            "functionArn": f"acs:fc:{region or 'local'}:{ACCOUNT}:functions/{function}/{qualifier}",
        }
    )
    return {
        **where,
        "target": view["defaultTarget"] if view["target"] is None else view["target"],
        "current": view["current"],
        "scheduledActions": actions,
        "targetTrackingPolicies": policies,
        "currentError": view["currentError"] or "",
        "alwaysAllocateCPU": view["alwaysAllocateCPU"],
    }


def render(blocks: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The entries of each block of the file, one line each field, ended by a line break."""
    return "".join(f"{line}\n" for key, entries in blocks.items() for line in (f"{key}:", *_list(entries, _STEP)))


def _given(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    found = [{name: value for name, value in rule.items() if value is not None} for rule in rules]
    return found or None


def _list(items: Sequence[Mapping[str, Any]], indent: str) -> list[str]:
    return [line for one in items for line in (f"{indent}-", *_mapping(one, indent + _STEP))]


def _mapping(fields: Mapping[str, Any], indent: str) -> list[str]:
    width = max(len(name) for name in fields) + 1
    lines = []
    for name, value in fields.items():
        if isinstance(value, list):
            lines += [f"{indent}{name}:", *_list(value, indent + _STEP)]
        else:
            lines.append(f"{indent}{name + ':':<{width}} {_scalar(value)}".rstrip())
    return lines


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    if not isinstance(value, str) or not text or _PLAIN.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)
