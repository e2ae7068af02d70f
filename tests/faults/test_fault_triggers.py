"""Workers killed while timers, files, objects and messages become jobs: none is lost, none is doubled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.e2e.harness import FUNCTIONS, Json, wait_until
from tests.faults.deployment import Deployment

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
ROUNDS = 30
KILLED = (8, 19)
"""After these rounds the workers are killed, as soon as they lead: in the middle of what they found."""


def echo(*triggers: Json) -> Json:
    return {
        "path": str(FUNCTIONS / "echo"),
        "concurrency": 4,
        "resources": {"memory": "256MiB"},
        "scaling": {"max": 1, "idle_timeout": "30s"},
        "triggers": list(triggers),
    }


@contextmanager
def bucket() -> Iterator[tuple[str, Callable[[str, bytes], object]]]:
    """An S3-compatible store with a bucket: its URL, and how an object gets there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="pictures")
    try:
        yield url, lambda key, body: client.put_object(Bucket="pictures", Key=key, Body=body)
    finally:
        server.stop()


def events(stack: Deployment, function: str, count: int) -> list[Any]:
    """What so many jobs were made of, once there are as many."""

    def made() -> list[Json]:
        reply = stack.http.get(stack.path(function), params={"limit": 100}, timeout=10)
        found: list[Json] = reply.json()["invocations"]
        return found if len(found) >= count and all(one["finished_at"] for one in found) else []

    found = wait_until(made, 60, f"{count} jobs of {function} have ended")
    assert {one["state"] for one in found} == {"succeeded"}
    return [stack.result(function, one["id"]).json() for one in found]


def key(event: Any) -> str:
    [one] = event["events"]
    return str(one["oss"]["object"]["key"])


def test_workers_killed_while_triggers_fire_lose_and_double_nothing() -> None:
    with Deployment() as stack, bucket() as (url, put):
        stack.environment |= KEYS
        inbox = stack.folder / "inbox"
        inbox.mkdir()
        stored = {"name": "new", "type": "objects", "bucket": "s3://pictures", "endpoint": url, "prefix": "in/"}
        stack.start().deploy(
            {
                "timed": echo({"name": "tick", "type": "timer", "schedule": "@every 1s"}),
                "filed": echo({"name": "in", "type": "objects", "bucket": "inbox", "every": "100ms"}),
                "stored": echo({**stored, "every": "300ms"}),
                "told": echo({"name": "t", "type": "topic", "topic": "t", "format": "json"}),
            }
        )
        put("elsewhere", b"not in/")
        for n in range(ROUNDS):
            write(inbox, n)
            put(f"in/{n}", b"x" * n)
            reply = stack.http.post(f"{stack.url}/v1/topics/t/messages", data=b"%d" % n, timeout=10)
            assert reply.status_code == 202, reply.text
            time.sleep(0.15)
            if n in KILLED:
                assert stack.workers is not None
                stack.workers.says("leading")
                stack.kill(stack.workers)
                stack.start_workers()

        wanted = sorted(map(str, range(ROUNDS)))
        assert sorted(map(key, events(stack, "filed", ROUNDS))) == wanted
        assert sorted(map(key, events(stack, "stored", ROUNDS))) == [f"in/{n}" for n in wanted]
        assert sorted(one["Message"] for one in events(stack, "told", ROUNDS)) == wanted
        times = [one["triggerTime"] for one in events(stack, "timed", 5)]
        assert len(times) == len(set(times)), "each due time once"


def write(inbox: Path, n: int) -> None:
    """In pieces, under its final name."""
    with (inbox / str(n)).open("wb", buffering=0) as file:
        file.write(b"one")
        file.write(b"another")
