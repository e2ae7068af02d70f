"""A function's spec: what may be said, what is filled in, what is refused and how that is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.function import NAME, Function, FunctionSpec, Hook

IMAGE = {"image": "my/image:1"}


def problem(fields: Any) -> str:
    """Where and why a spec is refused, in one line."""
    with pytest.raises(ValidationError) as refused:
        FunctionSpec.model_validate(fields)
    [error] = refused.value.errors()
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def test_a_folder_alone_is_a_python_handler() -> None:
    spec = FunctionSpec.model_validate({"path": "./sentiment"})

    assert spec.handler == "app:handler"
    assert spec.initialize == Hook(path="/initialize", timeout=300)


def test_what_is_not_said_has_the_documented_default() -> None:
    spec = FunctionSpec.model_validate(IMAGE)

    shown = spec.model_dump(mode="json", exclude_none=True)
    assert shown == IMAGE | {
        "pull": "missing",
        "event": "bytes",
        "protocol": "fc",
        "web_server": True,
        "port": 9000,
        "concurrency": 1,
        "workers": "thread",
        "timeout": "10m",
        "preload": [],
        "env": {},
        "secrets": [],
        "resources": {"cpu": 1.0, "memory": "2GiB", "shm_size": "64MiB"},
        "lifecycle": {"start_timeout": "2m"},
        "scaling": {
            "min": 0,
            "idle_timeout": "5m",
            "metric": "concurrency",
            "buffer": 0,
            "standby": 0,
            "weight": 1.0,
        },
        "queue": {"max_depth": 100_000, "max_age": "1d"},
        "callbacks": {},
        "triggers": [],
        "retry": {
            "attempts": 3,
            "backoff": "1s",
            "max_backoff": "5m",
            "on": [408, 429, 502, 503, 504],
            "held": False,
        },
        "limits": {},
        "network": "none",
        "user": "65534:65534",
        "read_only": True,
        "volumes": [],
    }
    assert spec.scaling.max is None, "as many as the machine has slots"
    assert spec.scaling.max_queue_wait is None, "measured"


def test_all_that_can_be_said_reads_back_as_it_was_said() -> None:
    said = {
        "image": "my/image:1",
        "pull": "always",
        "command": ["python", "server.py"],
        "event": "json",
        "port": 8000,
        "concurrency": 4,
        "timeout": "90s",
        "preload": [],
        "env": {"LOG_LEVEL": "info"},
        "secrets": ["HF_TOKEN"],
        "resources": {
            "cpu": 0.5,
            "memory": "512MiB",
            "shm_size": "1GiB",
            "gpu": {"memory": "8GiB", "type": "fc.gpu.tesla.1", "mode": "shared"},
        },
        "lifecycle": {
            "initialize": {"path": "/initialize", "timeout": "5m"},
            "pre_stop": {"path": "/pre-stop", "timeout": "90s"},
            "health": {"path": "/health"},
            "start_timeout": "10m",
        },
        "scaling": {
            "min": 1,
            "max": 3,
            "idle_timeout": "1h",
            "max_queue_wait": "15s",
            "target_utilization": 0.5,
            "metric": "queue_delay",
            "buffer": 1,
            "standby": 0,
            "weight": 2.0,
        },
        "queue": {"max_depth": 10, "max_age": "24h"},
        "callbacks": {"on_success": "https://example.com/done", "on_failure": "http://10.0.0.1:8080/failed"},
        "retry": {"attempts": 5, "backoff": "250ms", "max_backoff": "1m", "on": [503], "held": True},
        "network": "internet",
        "user": "1000:1000",
        "read_only": False,
        "volumes": ["/models:/models:ro", "/cache:/cache"],
    }

    spec = FunctionSpec.model_validate(said)

    shown = spec.model_dump(mode="json")
    assert {name: shown[name] for name in said} == said | {"queue": {"max_depth": 10, "max_age": "1d"}}
    assert FunctionSpec.model_validate(shown) == spec


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com/", "https://", "http://example.com:0/"])
def test_who_is_told_of_the_end_is_a_url(url: str) -> None:
    with pytest.raises(ValidationError, match="neither an http:// or https:// URL with a host nor function:NAME"):
        FunctionSpec.model_validate(IMAGE | {"callbacks": {"on_failure": url}})


def test_what_is_kept_of_a_function_is_what_is_not_at_its_default() -> None:
    spec = FunctionSpec.model_validate(IMAGE | {"scaling": {"max": 2}})
    function = Function(name="f", spec=spec, revision=1, digest="d", created_at=1)
    kept = function.dump()
    assert json.loads(kept) == {
        "name": "f",
        "spec": IMAGE | {"scaling": {"max": 2}},
        "revision": 1,
        "digest": "d",
        "created_at": 1,
    }
    assert Function.model_validate_json(kept) == function


@given(
    timeout=st.floats(1, 604_800),
    backoff=st.floats(1e-6, 1_000),
    max_queue_wait=st.none() | st.floats(0.001, 1_000),
    memory=st.integers(16 * 2**20, 2**44),
)
def test_a_deployed_function_reads_back_with_the_same_numbers(
    timeout: float, backoff: float, max_queue_wait: float | None, memory: int
) -> None:
    spec = FunctionSpec.model_validate(
        IMAGE
        | {
            "timeout": timeout,
            "callbacks": {},
            "retry": {"backoff": backoff},
            "scaling": {"max_queue_wait": max_queue_wait},
            "resources": {"memory": memory},
        }
    )
    function = Function(name="one", spec=spec, revision=1, digest="d", created_at=1)

    assert Function.model_validate_json(function.model_dump_json()) == function


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"img": "x"}, "img: Extra inputs are not permitted"),
        ({"scaling": {"maximum": 3}}, "scaling.maximum: Extra inputs are not permitted"),
        ({"lifecycle": {"health": {"url": "/"}}}, "lifecycle.health"),
        ({"timeout": "90 seconds"}, "timeout: Value error, '90 seconds' is not a duration; write a number and"),
        ({"timeout": "2GiB"}, "timeout: Value error, '2GiB' is not a duration"),
        ({"resources": {"memory": "90s"}}, "resources.memory: Value error, '90s' is not a size; write"),
        ({"resources": {"memory": "8MiB"}}, "resources.memory: Input should be greater than or equal to"),
        ({"resources": {"cpu": 0}}, "resources.cpu: Input should be greater than 0"),
        ({"timeout": "0s"}, "timeout: Input should be greater than or equal to 1"),
        ({"timeout": "8d"}, "timeout: Input should be less than or equal to 604800"),
        ({"port": 0}, "port: Input should be greater than or equal to 1"),
        ({"port": 65_536}, "port: Input should be less than or equal to 65535"),
        ({"concurrency": 0}, "concurrency: Input should be greater than or equal to 1"),
        ({"workers": "fork"}, "workers: Input should be 'thread' or 'process'"),
        ({"batch": {}}, "batch.max_size: Field required"),
        ({"batch": {"max_size": 0}}, "batch.max_size: Input should be greater than or equal to 1"),
        ({"batch": {"max_size": 8, "max_wait": "2m"}}, "batch.max_wait: Input should be less than or equal to 60"),
        ({"scaling": {"max": 0}}, "scaling.max: Input should be greater than or equal to 1"),
        ({"scaling": {"min": -1}}, "scaling.min: Input should be greater than or equal to 0"),
        ({"scaling": {"min": 3, "max": 2}}, "scaling: Value error, min (3) must not be larger than max (2)"),
        ({"scaling": {"max_queue_wait": 0}}, "scaling.max_queue_wait: Input should be greater than 0"),
        ({"queue": {"max_depth": 0}}, "queue.max_depth: Input should be greater than or equal to 1"),
        ({"queue": {"max_age": "500ms"}}, "queue.max_age: Input should be greater than or equal to 1"),
        ({"retry": {"attempts": 0}}, "retry.attempts: Input should be greater than or equal to 1"),
        ({"retry": {"attempts": 101}}, "retry.attempts: Input should be less than or equal to 100"),
        ({"retry": {"backoff": 0}}, "retry.backoff: Input should be greater than 0"),
        ({"retry": {"on": [200]}}, "retry.on.0: Input should be greater than or equal to 400"),
        ({"retry": {"on": [600]}}, "retry.on.0: Input should be less than or equal to 599"),
        ({"event": "text"}, "event: Input should be 'bytes' or 'json'"),
        ({"protocol": "grpc"}, "protocol: Input should be 'fc'"),
        ({"lifecycle": {"start_timeout": 0}}, "lifecycle.start_timeout: Input should be greater than 0"),
        ({"network": "host"}, "network: Input should be 'none' or 'internet'"),
        ({"env": {"DEBUG": True}}, "env.DEBUG: Input should be a valid string"),
        ({"env": {"DEBUG": None}}, "env.DEBUG: Input should be a valid string"),
        ({"env": ["A=1"]}, "env: Input should be a valid dictionary"),
        ({"secrets": ["../x"]}, "secrets.0: String should match pattern"),
        ({"secrets": ["A", "A"]}, "secrets: Value error, A stands there twice"),
        ({"secrets": ["PATH"]}, "secrets: Value error, PATH means something else in an instance's environment"),
        ({"secrets": ["LD_PRELOAD"]}, "secrets: Value error, LD_PRELOAD means something else"),
        ({"secrets": ["A"], "env": {"A": "1"}}, ": Value error, env has A, which the secret A sets: leave one"),
        ({"secrets": ["A"], "env": {"A_FILE": "x"}}, ": Value error, env has A_FILE, which the secret A sets"),
        ({"volumes": ["cache:/cache"]}, "volumes: Value error, 'cache:/cache' is not /host/path:/container/path"),
        ({"volumes": ["/a:/b:rx"]}, "volumes: Value error, '/a:/b:rx' is not /host/path:/container/path"),
        ({"volumes": ["/a"]}, "volumes: Value error, '/a' is not /host/path:/container/path"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_what_is_allowed(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FunctionSpec.model_validate(IMAGE | fields)

    problems = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.value.errors()]
    assert any(line.startswith(told) for line in problems), problems


@pytest.mark.parametrize("hook", ["initialize", "pre_stop", "health"])
def test_a_hook_is_asked_on_an_absolute_path(hook: str) -> None:
    fields = {"path": "initialize"} | ({} if hook == "health" else {"timeout": "5s"})

    assert problem(IMAGE | {"lifecycle": {hook: fields}}).startswith(
        f"lifecycle.{hook}.path: String should match pattern"
    )


@pytest.mark.parametrize("other", [{"image": "my/image:1"}, {"command": ["server"]}])
def test_a_folder_stands_alone(other: dict[str, Any]) -> None:
    assert "path stands alone" in problem({"path": "./sentiment"} | other)


@pytest.mark.parametrize("nothing", [{}, {"command": []}, {"env": {"A": "1"}}])
def test_something_must_run(nothing: dict[str, Any]) -> None:
    assert "nothing to run: give path (a folder with a Python handler), image or command" in problem(nothing)


def test_an_entrypoint_needs_its_image() -> None:
    assert "entrypoint needs image" in problem({"command": ["server"], "entrypoint": ["python"]})
    assert FunctionSpec.model_validate(IMAGE | {"entrypoint": ["python"]}).entrypoint == ("python",)


def test_a_handler_needs_its_folder() -> None:
    assert "handler needs path" in problem(IMAGE | {"handler": "app:handler"})


@pytest.mark.parametrize(
    "handler", ["app", "app:", ":handler", "app.handler", "app:han dler", "app:a.b", "1app:x"]
)
def test_a_handler_is_a_module_and_a_function(handler: str) -> None:
    assert problem({"path": "./one", "handler": handler}).startswith("handler: String should match pattern")


@pytest.mark.parametrize(("protocol", "port"), [("fc", 9000), ("http", 9000), ("cog", 5000), ("sagemaker", 8080)])
def test_each_protocol_has_the_port_of_its_vendor(protocol: str, port: int) -> None:
    assert FunctionSpec.model_validate(IMAGE | {"protocol": protocol}).port == port
    assert FunctionSpec.model_validate(IMAGE | {"protocol": protocol, "port": 81}).port == 81


def test_a_protocol_is_for_a_server_of_the_users_own() -> None:
    assert "protocol cog is for image and command" in problem({"path": "./one", "protocol": "cog"})


@pytest.mark.parametrize("hook", ["initialize", "pre_stop", "health"])
def test_a_hook_needs_a_server(hook: str) -> None:
    lifecycle = {hook: {"path": "/hook"} | ({} if hook == "health" else {"timeout": "5s"})}
    assert "lifecycle hooks need a server" in problem(IMAGE | {"protocol": "runpod", "lifecycle": lifecycle})
    assert "lifecycle hooks need a server" in problem(IMAGE | {"web_server": False, "lifecycle": lifecycle})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"concurrency": 2}, "concurrency must be 1 with web_server: false"),
        ({"protocol": "cog"}, "web_server: false is for image and command, without path and protocol"),
        ({"protocol": "runpod"}, "web_server: false is for image and command, without path and protocol"),
        ({"scaling": {"min": 1}}, "nothing can be kept warm with web_server: false"),
        ({"scaling": {"buffer": 1}}, "nothing can be kept warm with web_server: false"),
        ({"provision": {"defaultTarget": 1}}, "nothing can be kept warm with web_server: false"),
    ],
)
def test_what_is_run_for_each_call_can_be_no_more_than_that(fields: dict[str, Any], told: str) -> None:
    assert told in problem(IMAGE | {"web_server": False} | fields)


def test_a_folder_cannot_be_run_for_each_call() -> None:
    assert "web_server: false is for image and command" in problem({"path": "./one", "web_server": False})


def test_a_place_for_a_run_is_not_kept_when_there_is_none() -> None:
    assert FunctionSpec.model_validate(IMAGE | {"web_server": False}).scaling.idle_timeout == 0
    scaling = {"idle_timeout": "5s", "max": 2}
    assert FunctionSpec.model_validate(IMAGE | {"web_server": False, "scaling": scaling}).scaling.idle_timeout == 5


@pytest.mark.parametrize(
    ("fields", "serves"),
    [({}, True), ({"protocol": "cog"}, True), ({"protocol": "runpod"}, False), ({"web_server": False}, False)],
)
def test_what_serves_http(fields: dict[str, Any], serves: bool) -> None:
    assert FunctionSpec.model_validate(IMAGE | fields).serves_http is serves


@pytest.mark.parametrize("text", [None, "image", 5, []])
def test_a_spec_is_a_mapping(text: object) -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        FunctionSpec.model_validate(text)


def test_numbers_in_an_environment_become_text() -> None:
    spec = FunctionSpec.model_validate(IMAGE | {"env": {"WORKERS": 2, "RATE": 0.5, "NAME": "one"}})

    assert spec.env == {"WORKERS": "2", "RATE": "0.5", "NAME": "one"}


def test_an_image_is_not_initialized_unless_it_says_so() -> None:
    assert FunctionSpec.model_validate(IMAGE).initialize is None


def test_a_hook_that_is_given_is_the_one_that_is_asked() -> None:
    hook = {"path": "/load", "timeout": "20m"}
    for what in (IMAGE, {"path": "./one"}):
        spec = FunctionSpec.model_validate(what | {"lifecycle": {"initialize": hook}})
        assert spec.initialize == Hook(path="/load", timeout=1_200)


def test_a_spec_cannot_be_changed() -> None:
    spec = FunctionSpec.model_validate(IMAGE)

    with pytest.raises(ValidationError, match="frozen"):
        spec.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a", "7b", "sentiment", "my-model_2", "a" * 63])
def test_names_that_can_stand_in_keys_routes_and_folders(name: str) -> None:
    assert NAME.fullmatch(name)
    assert Function(name=name, spec=FunctionSpec(command=("s",)), revision=1, digest="", created_at=0).name == name


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a/b", "a{b}", "a.b", "a:b", "ä", "a\n", "a" * 64])
def test_names_that_cannot(name: str) -> None:
    assert not NAME.fullmatch(name)
    with pytest.raises(ValidationError, match="name"):
        Function(name=name, spec=FunctionSpec(command=("s",)), revision=1, digest="", created_at=0)


@pytest.mark.parametrize("fields", [{"batch": {"max_size": 8}}, {"workers": "process"}])
def test_batches_and_processes_are_for_python_handlers(fields: dict[str, Any]) -> None:
    assert "batch and workers are for a Python handler" in problem(IMAGE | fields)


def test_a_batch_is_made_in_one_process() -> None:
    fields = {"path": "./f", "batch": {"max_size": 8}, "workers": "process"}
    assert "batch needs workers: thread" in problem(fields)


def test_an_instance_that_batches_is_given_as_many_calls_as_fill_its_batches() -> None:
    spec = FunctionSpec.model_validate({"path": "./f", "batch": {"max_size": 32}, "concurrency": 2})
    assert spec.slots == 64
    assert spec.model_dump(mode="json")["batch"] == {"max_size": 32, "max_wait": "10ms"}
    assert FunctionSpec.model_validate(IMAGE | {"concurrency": 7}).slots == 7
    many = {"path": "./f", "batch": {"max_size": 501}, "concurrency": 2}
    assert "concurrency times batch.max_size is 1002" in problem(many)
