"""The events that triggers and destinations give to functions, in Function Compute's own shapes. Pure.

Where the vendor has a name of its cloud (an account, a region, whoever sent it), there is an empty one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from penstock import clock
from penstock.invocation import FailureCode, Invocation, Response, State
from penstock.vendors.fc import arn

LIMIT = 2**20
"""Bytes of a request or an answer that a destination is told; in the place of a larger one stands null."""
_EVENTS = {"created": "ObjectCreated:PutObject", "removed": "ObjectRemoved:DeleteObject"}
_CONDITIONS = {
    State.EXPIRED: "EventAgeExceeded",
    State.FAILED: "UnhandledInvocationError",
    State.TIMED_OUT: "InvocationTimeout",
}


def timer(trigger: str, due_ms: int, payload: str) -> bytes:
    moment = clock.rfc3339(due_ms - due_ms % 1000)
    assert moment is not None
    return _dump({"triggerTime": moment.replace(".000Z", "Z"), "triggerName": trigger, "payload": payload})


def stored_object(
    trigger: str, happened: str, *, bucket: str, region: str, key: str, size: int, etag: str, at_ms: int
) -> bytes:
    """`happened`: created or removed."""
    return _dump(
        {
            "events": [
                {
                    "eventName": _EVENTS[happened],
                    "eventSource": "acs:oss",
                    "eventTime": clock.rfc3339(at_ms),
                    "eventVersion": "1.0",
                    "region": region,
                    "oss": {
                        "bucket": {
                            "arn": f"acs:oss:{region}::{bucket}",
                            "name": bucket,
                            "ownerIdentity": "",
                            "virtualBucket": "",
                        },
                        "object": {"key": key, "size": size, "deltaSize": size, "eTag": etag},
                        "ossSchemaVersion": "1.0",
                        "ruleId": trigger,
                    },
                    "requestParameters": {"sourceIPAddress": ""},
                    "responseElements": {"requestId": ""},
                    "userIdentity": {"principalId": ""},
                }
            ]
        }
    )


def message(
    topic: str, trigger: str, *, message_id: str, published_ms: int, body: bytes, tag: str | None
) -> bytes:
    """All that is known of a message; a function with the format STREAM gets its body alone."""
    said = {
        "TopicOwner": "",
        "TopicName": topic,
        "Subscriber": "",
        "SubscriptionName": trigger,
        "MessageId": message_id,
        "MessageMD5": hashlib.md5(body, usedforsecurity=False).hexdigest().upper(),
        "PublishTime": published_ms,
        "Message": body.decode(errors="replace"),
    }
    return _dump(said if tag is None else said | {"MessageTag": tag})


def destination(record: Invocation, request: bytes | None, answer: bytes | None) -> bytes:
    """How a job ended, for a function that is told. None for what is too large, or was never there."""
    error = _error(record)
    condition = "" if record.state is State.SUCCEEDED else _CONDITIONS.get(record.state, record.state)
    return _dump(
        {
            "timestamp": record.finished_at,
            "requestContext": {
                "requestId": record.id,
                "functionArn": arn(record.function),
                "condition": condition,
                "approximateInvokeCount": record.attempt,
            },
            "requestPayload": _text(request),
            "responseContext": {"statusCode": _status(record.response), "functionError": error},
            "responsePayload": _text(answer),
        }
    )


def _error(record: Invocation) -> str:
    if record.failure is None:
        return ""
    handled = record.failure.code is FailureCode.FUNCTION_ERROR and record.response is not None
    return "HandledInvocationError" if handled else "UnhandledInvocationError"


def _status(response: Response | None) -> int | None:
    return None if response is None else response.status


def _text(payload: bytes | None) -> str | None:
    return None if payload is None else payload.decode(errors="replace")


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()
