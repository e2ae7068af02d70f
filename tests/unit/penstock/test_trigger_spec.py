"""Triggers of a spec: what is right is read, and what is wrong is told with its place and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import specfile, triggerview
from penstock.errors import ConfigurationError
from penstock.function import Destinations, Function, FunctionSpec, named_function
from penstock.triggers import ObjectsTrigger, Past, methods
from tests.unit.penstock.test_specfile import load, refused

TIMER = {"name": "tick", "type": "timer", "schedule": "@every 90s"}
HTTP = {"name": "web", "type": "http"}
FOLDER = {"name": "in", "type": "objects", "bucket": "/srv/in"}
TOPIC = {"name": "orders", "type": "topic", "topic": "orders"}


def spec(*triggers: dict[str, Any]) -> FunctionSpec:
    return FunctionSpec.model_validate({"command": ["server"], "triggers": triggers})


WHOLE = """
functions:
  f:
    command: [server]
    triggers:
      - {name: web, type: http, methods: [GET, POST]}
      - {name: tick, type: timer, schedule: "@every 1h30m", payload: p}
      - {name: night, type: timer, schedule: "0 30 4 ? * MON-FRI", timezone: Europe/Berlin, enabled: false}
      - {name: files, type: objects, bucket: ./in, prefix: a/, suffix: .png, events: [created, removed], every: 2s}
      - {name: pictures, type: objects, bucket: "s3://pictures", endpoint: "http://127.0.0.1:9000"}
      - {name: orders, type: topic, topic: orders, format: json, tag: new}
"""


def test_every_type_is_read_and_written_again(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE)["f"]
    assert [one.type for one in found.triggers] == ["http", "timer", "timer", "objects", "objects", "topic"]
    files, pictures = (one for one in found.triggers if isinstance(one, ObjectsTrigger))
    assert (files.bucket, files.s3, files.period) == (str(tmp_path / "in"), None, 2.0)
    assert (pictures.s3, pictures.period) == ("pictures", 10.0)
    again = tmp_path / "again.yaml"
    again.write_text(specfile.dump({"f": found}, {}))
    assert specfile.load(again)["f"] == found
    assert (
        Function.model_validate_json(
            Function(name="f", spec=found, revision=1, digest="d", created_at=1).dump()
        ).spec
        == found
    )


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ("{name: t}", "0.type: no type of trigger; allowed are http, timer, objects, topic (got None)"),
        (
            "{name: t, type: cron}",
            "0.type: no type of trigger; allowed are http, timer, objects, topic (got 'cron')",
        ),
        ("timer", "0: input should be a valid dictionary"),
        ("{type: http}", "0.name: field required"),
        ("{name: 1t, type: http}", "0.name: string should match"),
        (
            "{name: t, type: http, method: [GET]}",
            "0.method: unknown field; allowed are enabled, methods, name, type",
        ),
        ("{name: t, type: http, methods: [LINK]}", "0.methods.0: input should be 'GET', "),
        ("{name: t, type: timer}", "0.schedule: field required"),
        (
            "{name: t, type: timer, schedule: '@every 1'}",
            "0.schedule: '@every 1' is not understood: write @every 90s",
        ),
        ("{name: t, type: timer, schedule: '@every 999d'}", "0.schedule: '@every 999d' is longer than a year"),
        ("{name: t, type: timer, schedule: '* * *'}", "0.schedule: it has 3 fields; allowed are six"),
        (
            "{name: t, type: timer, schedule: '@every 1m', timezone: Berlin}",
            "0.timezone: 'Berlin' is not a time zone",
        ),
        ("{name: t, type: objects, bucket: ftp://x}", "0: bucket 'ftp://x' is neither a folder nor s3://BUCKET"),
        ("{name: t, type: objects, bucket: 's3://b/in'}", "0: bucket 's3://b/in' is neither a folder nor"),
        ("{name: t, type: objects, bucket: in, endpoint: 'http://x'}", "0: endpoint and region are for a bucket"),
        ("{name: t, type: objects, bucket: 's3://bucket', endpoint: x}", "0: endpoint 'x' is not an http:// or"),
        ("{name: t, type: objects, bucket: in, events: []}", "0.events: tuple should have at least 1 item"),
        ("{name: t, type: objects, bucket: in, every: 1}", None),
        ("{name: t, type: objects, bucket: in, every: 1y}", "0.every: '1y' is not a duration"),
        ("{name: t, type: topic, topic: a b}", "0.topic: string should match"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, trigger: str, says: str | None) -> None:
    text = f"functions:\n  f:\n    command: [server]\n    triggers:\n      - {trigger}\n"
    if says is None:
        assert load(tmp_path, text)["f"].triggers
        return
    assert refused(tmp_path, text).startswith(f"penstock.yaml:5: functions.f.triggers.{says}")


def test_each_name_is_one_triggers(tmp_path: Path) -> None:
    text = f"functions:\n  f:\n    command: [s]\n    triggers: [{HTTP}, {HTTP}]\n"
    assert "two triggers are named web" in refused(tmp_path, text)


def test_methods_of_several_http_triggers_add_up() -> None:
    assert spec().methods is None
    assert spec(TIMER).methods is None, "no http trigger: all methods"
    assert spec(HTTP).methods is None
    assert spec({**HTTP, "methods": ["GET"]}).methods == {"GET"}
    assert methods(spec({**HTTP, "methods": ["GET"]}, {**HTTP, "name": "b", "methods": ["PUT"]}).triggers) == {
        "GET",
        "PUT",
    }
    assert spec({**HTTP, "methods": ["GET"]}, {**HTTP, "name": "all"}).methods is None


def test_what_a_trigger_looks_at_is_its_identity() -> None:
    def identity(**changed: Any) -> str:
        return spec({**TIMER, **changed}).triggers[0].identity

    assert identity(payload="another") == identity()
    assert len({identity(), identity(schedule="@every 91s"), identity(enabled=False), identity(name="b")}) == 4
    folder, other = (spec({**FOLDER, "prefix": prefix}).triggers[0].identity for prefix in ("", "a"))
    assert folder != other
    assert folder == spec({**FOLDER, "every": "3s", "events": ["removed"]}).triggers[0].identity


def test_destinations_are_urls_or_functions() -> None:
    told = Destinations(on_success="function:next", on_failure="https://example.com/failed")
    assert (told.urls, told.any) == (("https://example.com/failed",), True)
    assert named_function("function:next") == "next"
    assert [named_function(one) for one in ("function:", "function:A b", "https://a.b/", "next")] == [None] * 4
    assert not Destinations().any
    with pytest.raises(ValueError, match="neither an http:// or https:// URL with a host nor function:NAME"):
        Destinations(on_success="function:No Name")


def test_an_unknown_spelling_of_a_destination_names_its_line(tmp_path: Path) -> None:
    text = "functions:\n  f:\n    command: [s]\n    callbacks:\n      on_failure: next\n"
    with pytest.raises(ConfigurationError, match=r"5: functions\.f\.callbacks\.on_failure: neither an http"):
        load(tmp_path, text)


def test_what_is_shown_of_triggers() -> None:
    function = Function(
        name="f", spec=spec(HTTP, TIMER, FOLDER, TOPIC), revision=1, digest="d", created_at=1_000_000
    )
    past = Past(
        identity=function.spec.triggers[1].identity, since=1_000_000, due=1_090_000, fired=1, fired_at=1_090_100
    )
    stale = Past(identity="of another", since=0, fired=7)
    http, timer, folder, topic = triggerview.listing(function, {"tick": past, "in": stale}, 1_100_000)
    assert http["url"] == "/fn/f/"
    assert (timer["next_due"], timer["last_due"]) == ("1970-01-01T00:19:40.000Z", "1970-01-01T00:18:10.000Z")
    assert (timer["fired"], timer["last_fired"]) == (1, "1970-01-01T00:18:10.100Z")
    assert (folder["fired"], folder["last_fired"]) == (0, None), "what was told of another place is not its own"
    assert topic["topic"] == "orders"
    assert [triggerview.summary(one) for one in function.spec.triggers] == [
        "http any method",
        "timer @every 90s",
        "objects created in /srv/in",
        "topic orders",
    ]
