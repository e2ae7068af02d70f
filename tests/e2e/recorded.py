"""What an earlier release left in Redis, kept as text: one command in each line of tests/e2e/recorded/*.jsonl.

In a worktree of that release `python -m tests.e2e.recorded > schema-N.jsonl` records it: once for each schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.e2e import specs
from tests.e2e.harness import FUNCTIONS, Stack

SECRET = "secret of what was recorded"
_PLACE = "@FUNCTIONS@"
_LEFT_OUT = (b"ps:leader",)
"""Who led is dead."""


def load(file: Path, url: str) -> None:
    """Writes what was recorded into an empty Redis."""
    client = redis.Redis.from_url(url)
    for line in file.read_text().splitlines():
        text = line.replace(_PLACE, str(FUNCTIONS))
        client.execute_command(*(part.encode("latin-1") for part in json.loads(text)))
    client.close()


def fill(stack: Stack) -> None:
    """One of each: ended jobs, dead letters, and what waits because nobody works."""
    kept = {"queue": {"max_age": "3650d"}}
    stack.start().deploy({"echo": specs.folder("echo", **kept), "raises": specs.folder("raises", **kept)})
    stack.finished("echo", stack.submit("echo", "done", headers={"Idempotency-Key": "done"})["id"])
    stack.finished("raises", stack.submit("raises", "dead")["id"])
    assert stack.workers is not None
    stack.workers.stop()
    url = f"{stack.url}/v1/functions/echo"
    stack.submit("echo", "waits")
    stack.submit("echo", "first", headers={"Penstock-Priority": "high", "Penstock-Retry": "backoff=2s; on=429"})
    stack.submit("echo", "later", headers={"Penstock-Delay": "1s", "Idempotency-Key": "later"})
    stack.submit("echo", "told", headers={"Penstock-Callback-Url": "http://127.0.0.1:1999/"})
    stack.http.post(f"{url}/invocations:batch", data=b'1\n{"two": 2}\n', timeout=5).raise_for_status()
    stack.http.put(f"{url}/provision-config", json={"target": 1}, timeout=5).raise_for_status()


def dump(url: str) -> Iterator[list[bytes]]:
    """Every key as the command that makes it; what runs out is kept."""
    client = redis.Redis.from_url(url)
    for key in sorted(client.keys("*")):  # a small Redis of our own
        kind = client.type(key)
        if key in _LEFT_OUT:
            continue
        if kind == b"string":
            yield [b"SET", key, client.get(key)]
        elif kind == b"hash":
            yield [b"HSET", key, *(part for pair in sorted(client.hgetall(key).items()) for part in pair)]
        elif kind == b"set":
            yield [b"SADD", key, *sorted(client.smembers(key))]
        elif kind == b"zset":
            pairs = client.zrange(key, 0, -1, withscores=True)
            yield [b"ZADD", key, *(part for name, score in pairs for part in (repr(score).encode(), name))]
        elif kind == b"stream":
            for place, fields in client.xrange(key):
                yield [b"XADD", key, place, *(part for pair in fields.items() for part in pair)]
        else:
            raise AssertionError(f"{key!r} is a {kind!r}: say here how it is made")
    client.close()


if __name__ == "__main__":
    with Stack("process", SECRET=SECRET) as made:
        fill(made)
        for command in dump(made.redis.url):
            print(json.dumps([part.decode("latin-1") for part in command]).replace(str(FUNCTIONS), _PLACE))
