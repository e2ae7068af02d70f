"""Says which trace it was called in: in its answer, and in JSON in its log. Events fail the first time."""

import asyncio
import json
import sys
from typing import Any

_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "tiny-1",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "SECRET-ANSWER"}}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    attempt = int(headers.get("penstock-attempt", 0))  # none in the initialize hook
    seen = {name: headers.get(name) for name in ("traceparent", "tracestate")} | {"attempt": attempt}
    if attempt:
        sys.stderr.write(json.dumps({"level": "info", "seen": seen, "text": 'a "quoted" word\t€'}) + "\n")
        sys.stderr.flush()
        await asyncio.sleep(0.1)  # a line that is heard when its run is over is not kept
    fails = scope["path"] == "/invoke" and attempt == 1
    answer = _CHAT | seen if scope["path"].endswith("/chat/completions") else seen
    start = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 503 if fails else 200, "headers": start})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
