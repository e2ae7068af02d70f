"""How the API shows an invocation, a function, an instance: the JSON that clients rely on."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from penstock import clock, lambda_answer
from penstock.apikey import ApiKey
from penstock.batch import Batch
from penstock.delivery import Delivery
from penstock.function import Function
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import Failure, Invocation, Payload, Response, State
from penstock.provision import ProvisionConfig
from penstock.store import PoolView


def invocation(record: Invocation, *, position: int | None = None, pool: PoolView | None = None) -> dict[str, Any]:
    """The record. `position` in the queue and `pool` tell of one that waits why, and for how long yet."""
    base = f"/v1/functions/{record.function}/invocations/{record.id}"
    return {
        "id": record.id,
        "function": record.function,
        "state": record.state,
        "attempt": record.attempt,
        "deferrals": record.deferrals,
        "priority": record.priority,
        "created_at": clock.rfc3339(record.created_at),
        "started_at": clock.rfc3339(record.started_at),
        "finished_at": clock.rfc3339(record.finished_at),
        "queue_position": position,
        "estimated_start": clock.rfc3339(_estimated_start(position, pool)),
        "waiting_reason": _waiting_reason(record, pool) if pool is not None else None,
        "instance": record.instance,
        "cold_start": record.cold_start,
        "timeline": record.timeline,
        "request": {
            "method": record.request.method,
            "path": record.request.path,
            "query": record.request.query,
            "headers": dict(record.request.headers),
            "size": record.request.size,
        },
        "response": _response(record.response),
        "error": _failure(record.failure),
        "progress": record.progress,
        "callback": record.callback,
        "retry_of": record.retry_of,
        "batch": record.batch,
        "links": {"self": base, "result": f"{base}/result", "events": f"{base}/events", "cancel": base},
    }


def _response(response: Response | None) -> dict[str, Any] | None:
    if response is None:
        return None
    return {"status": response.status, "headers": dict(response.headers), "size": response.size}


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "code": failure.code,
        "message": failure.message,
        "retryable": failure.code.retryable,
        "exit_code": failure.exit_code,
        "log_tail": failure.log_tail,
    }


def result(response: Response, body: bytes) -> Any:
    """An answer inside JSON: JSON as it is, text as a string, anything else as base64 with its content type."""
    if response.lambda_style:
        response, body = lambda_answer.unwrap(response, body)
    kind = next((value for name, value in response.headers if name.lower() == "content-type"), "")
    try:
        text = body.decode()
        if kind.partition(";")[0].strip() != "application/json":
            return text
        return json.loads(text, parse_constant=_no_json)
    except ValueError:
        return {"content_type": kind, "base64": base64.b64encode(body).decode()}


def _no_json(constant: str) -> None:
    """NaN and Infinity, which Python reads and writes, would make the callback unreadable for anybody else."""
    raise ValueError(constant)


_REFERENCE = ("id", "function", "state", "attempt", "links")
"""What of a record says which it is and how it stands."""


def callback(record: Invocation, what: str, result: Any, *, payload: Payload = "full") -> dict[str, Any]:
    """What a callback says of an invocation. `result` is None while there is none, and for one that is too
    large to be told."""
    data = invocation(record) | {"result": result}
    if payload == "thin":
        data = {name: data[name] for name in _REFERENCE}
    return {
        "type": f"invocation.{record.state if what == 'completed' else what}",
        "timestamp": clock.rfc3339(clock.now_ms()),
        "data": data,
    }


def delivery(one: Delivery) -> dict[str, Any]:
    """A delivery of the ledger, with its last attempts."""
    of = "batch" if one.what == "batch" else "invocation"
    return {
        "id": one.name,
        of: one.of,
        "event": one.what,
        "message": one.message,
        "endpoint": one.url,
        "payload": one.payload,
        "state": one.state,
        "created_at": clock.rfc3339(one.created_at),
        "next_attempt_at": clock.rfc3339(one.due_at),
        "ended_at": clock.rfc3339(one.ended_at),
        "attempts_made": one.made,
        "attempts": [
            {
                "at": clock.rfc3339(attempt.at),
                "status": attempt.status,
                "latency_ms": attempt.ms,
                "error": attempt.error,
                "body_sha256": attempt.sha256,
            }
            for attempt in one.attempts
        ],
    }


def batch(one: Batch) -> dict[str, Any]:
    """A batch and how many of its jobs are in which state. `refused` is known once all lines were submitted."""
    base = f"/v1/functions/{one.function}/batches/{one.id}"
    return {
        "id": one.id,
        "function": one.function,
        "created_at": clock.rfc3339(one.created_at),
        "finished_at": clock.rfc3339(one.finished_at),
        "accepted": one.accepted,
        "refused": one.lines - one.accepted if one.seal else None,
        "sealed": one.seal,
        "counts": dict(one.counts),
        "callback": one.callback,
        "links": {"self": base, "invocations": f"{base}/invocations", "cancel": base},
    }


def batch_callback(one: Batch) -> dict[str, Any]:
    """What a callback says of a batch, all of whose jobs have ended."""
    return {"type": "batch.completed", "timestamp": clock.rfc3339(clock.now_ms()), "data": batch(one)}


def function(deployed: Function, pool: PoolView) -> dict[str, Any]:
    """A deployed function with its defaults filled in, and how its pool stands."""
    return {
        "name": deployed.name,
        "version": deployed.version,
        "tenant": deployed.tenant,
        "revision": deployed.revision,
        "created_at": clock.rfc3339(deployed.created_at),
        "spec": deployed.spec.model_dump(mode="json"),
        "image": deployed.pinned,
        "instances": _counts(pool.instances),
        "decision": {"desired": pool.desired, "reason": pool.reason},
        "cold_starts": pool.cold_starts or None,
    }


def api_key(key: ApiKey, used_at: int | None) -> dict[str, Any]:
    """A key without what makes it one. `used_at`: milliseconds since 1970; None: it never was."""
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "limits": key.limits.model_dump(mode="json"),
        "created_at": clock.rfc3339(key.created_at),
        "expires_at": clock.rfc3339(key.expires_at),
        "revoked_at": clock.rfc3339(key.revoked_at),
        "last_used_at": clock.rfc3339(used_at),
    }


def _counts(instances: Sequence[InstanceView]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in instances:
        counts[one.state] = counts.get(one.state, 0) + 1
    return counts


def instances(pool: PoolView) -> dict[str, Any]:
    """A function's instances and the last decision about them."""
    return {
        "instances": [
            {
                "id": one.id,
                "state": one.state,
                "revision": one.revision,
                "provisioned": one.provisioned,
                "in_flight": one.in_flight,
                "started_at": clock.rfc3339(one.started_at),
                "timeline": one.timeline,
                "gpu": one.gpu,
                "reason": one.reason,
            }
            for one in pool.instances
        ],
        "decision": {"desired": pool.desired, "reason": pool.reason},
    }


def provision(name: str, config: ProvisionConfig, pools: Sequence[PoolView]) -> dict[str, Any]:
    """A provision config, and what it comes to. `target` is what it comes to now, whatever asked for it. `pools`:
    of the functions whose instances it keeps, which are several for an alias that shares out calls."""
    serving = (InstanceState.IDLE, InstanceState.BUSY)
    floors = [pool.floor for pool in pools if pool.floor is not None]
    known = len(floors) == len(pools)
    errors = [pool.floor.error if pool.floor else pool.reason for pool in pools]
    return {
        "function": name,
        **config.model_dump(by_alias=True, mode="json"),
        "target": sum(floor.target for floor in floors) if known else None,
        "current": sum(one.provisioned and one.state in serving for pool in pools for one in pool.instances),
        "currentError": "; ".join(filter(None, errors)) or None,
        "reason": "; ".join(floor.reason for floor in floors) if known else None,
        "active": floors[0].active if floors else [],
        "pending": floors[0].pending if floors else [],
        "expired": floors[0].expired if floors else [],
    }


def _waiting_reason(record: Invocation, pool: PoolView) -> str | None:
    """Why a queued invocation waits; None if it does not."""
    if record.state is not State.QUEUED:
        return None
    if record.failure is not None:
        return f"another attempt follows: {record.failure.message}"
    return why_waiting(pool)


def why_waiting(pool: PoolView) -> str:
    """Why what is queued for a function is not taken."""
    if not pool.settled:
        return pool.reason  # what hinders it says more than that another start is on its way
    states = [one.state for one in pool.instances]
    if InstanceState.IDLE in states:
        return "an idle instance is about to take it"
    for one in pool.instances:
        if one.state in (InstanceState.PENDING, InstanceState.STARTING, InstanceState.INITIALIZING):
            spent = sum(one.timeline.values()) / 1000
            return f"instance {one.id} is {one.state}, {spent:.1f} s into its start"
    if not pool.instances and not pool.desired:
        return "the workers are about to look at it"
    busy = states.count(InstanceState.BUSY)
    return f"{busy} of {busy} instances are busy; {pool.reason}" if busy else pool.reason


def _estimated_start(position: int | None, pool: PoolView | None) -> int | None:
    """Milliseconds since 1970, from how fast the pool ends calls; None if that is not known."""
    if position is None or pool is None or not pool.drain_rate:
        return None
    return clock.now_ms() + int(position / pool.drain_rate * 1000)
