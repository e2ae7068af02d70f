"""Every way to write a handler, with no import of ours: what it gets, and what becomes of what it returns."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.unit.runtime.conftest import Runtime, Said, StartRuntime

SIGNATURES = """
    import functools

    def both(event, context): return ["both", event.decode(), context.request_id]
    def underscore(event, _): return ["underscore", event.decode()]
    def alone(event): return ["alone", event.decode()]
    def with_option(event, verbose=False): return ["with_option", event.decode(), verbose]
    def optional_context(event, context=None): return ["optional_context", context.request_id]
    def keyword(event, *, context): return ["keyword", event.decode(), context.request_id]
    def anything(*args): return ["anything", len(args)]
    def nothing(): return ["nothing"]
    async def coroutine(event): return ["coroutine", event.decode()]
    a_lambda = lambda event, context: ["a_lambda", event.decode()]
    partial = functools.partial(lambda prefix, event, context: [prefix, event.decode()], "partial")
    built_in = len

    @functools.wraps(alone)
    def decorated(*args): return alone(*args)

    class Callable:
        def __call__(self, event, context): return ["instance", event.decode()]

    class AsyncCallable:
        async def __call__(self, event): return ["async_instance", event.decode()]

    instance = Callable()
    async_instance = AsyncCallable()
    method = Callable().__call__
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("both", ["both", "x", "id-1"]),
        ("underscore", ["underscore", "x"]),
        ("alone", ["alone", "x"]),
        ("with_option", ["with_option", "x", False]),
        ("optional_context", ["optional_context", "id-1"]),
        ("keyword", ["keyword", "x", "id-1"]),
        ("anything", ["anything", 2]),
        ("nothing", ["nothing"]),
        ("coroutine", ["coroutine", "x"]),
        ("a_lambda", ["a_lambda", "x"]),
        ("partial", ["partial", "x"]),
        ("built_in", 1),
        ("decorated", ["alone", "x"]),
        ("instance", ["instance", "x"]),
        ("async_instance", ["async_instance", "x"]),
        ("method", ["instance", "x"]),
    ],
)
def test_a_handler_takes_what_its_signature_says(start_runtime: StartRuntime, name: str, expected: Any) -> None:
    runtime = start_runtime(SIGNATURES, handler=f"app:{name}")
    assert runtime.call("x", x_fc_request_id="id-1").json == expected
    runtime.end()


# Lambda.

LAMBDA = """
    import json

    weights = [0.5] * 10

    def lambda_handler(event, context):
        if "answer" in event:
            return eval(event["answer"])
        if event.get("show"):
            return {"event": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis()}
        try:
            data = json.loads(event['body'])
            prediction = sum(w * x for w, x in zip(weights, data['features'], strict=True))
            return {'statusCode': 200, 'body': json.dumps({'prediction': prediction})}
        except Exception as e:
            return {'statusCode': 500, 'body': str(e)}
"""


@pytest.fixture(scope="module")
def lambda_style(_processes: StartRuntime) -> Runtime:
    return _processes(LAMBDA, handler="app:lambda_handler")


def test_a_lambda_handler_gets_json_and_its_answer_is_marked(lambda_style: Runtime) -> None:
    said = lambda_style.call(json.dumps({"body": json.dumps({"features": [1.0] * 10})}))
    assert (said.status, said.headers["content-type"]) == (200, "application/json")
    assert said.headers["penstock-answer"] == "lambda"
    assert said.json == {"statusCode": 200, "body": '{"prediction": 5.0}'}


def test_its_own_error_answer_is_marked_too(lambda_style: Runtime) -> None:
    said = lambda_style.call("{}")
    assert (said.status, said.error, said.headers["penstock-answer"]) == (200, None, "lambda")
    assert said.json == {"statusCode": 500, "body": "'body'"}


def test_an_empty_body_is_an_empty_event(lambda_style: Runtime) -> None:
    assert lambda_style.call(b"").json["statusCode"] == 500


@pytest.mark.parametrize("value", ["'text'", "{'a': 1}", "None", "[1]", "7"])
def test_any_other_answer_of_a_lambda_handler_is_its_json(lambda_style: Runtime, value: str) -> None:
    said = lambda_style.call(json.dumps({"answer": value}))
    assert said.json == eval(value)
    assert "penstock-answer" not in said.headers


def test_its_context_has_lambdas_names(lambda_style: Runtime) -> None:
    said = lambda_style.call('{"show": true}', x_fc_request_id="id-7").json
    assert said == {"event": {"show": True}, "id": "id-7", "left": 2**31 - 1}


def over_http(runtime: Runtime, path: str, body: bytes, **headers: str) -> Said:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return runtime.ask("POST", path, body, named | {"x-fc-control-path": "/http-invoke"})


def test_an_http_call_reaches_a_lambda_handler_as_a_function_url_shows_it(lambda_style: Runtime) -> None:
    said = over_http(lambda_style, "/predict", b'{"features": [2,2,2,2,2,2,2,2,2,2]}')
    assert said.json == {"statusCode": 200, "body": '{"prediction": 10.0}'}
    path = "/a/b?show=no&answer=event&x=1&x=2&e="
    event = over_http(lambda_style, path, b"caf\xc3\xa9", cookie="a=1; b=2", content_type="text/plain").json
    # `answer` is no key of the event itself, so the handler went on to event['body'].
    assert event["statusCode"] == 500


def test_that_event_has_path_query_headers_and_body(start_runtime: StartRuntime) -> None:
    runtime = start_runtime("def lambda_handler(event, context): return event", handler="app:lambda_handler")
    event = over_http(runtime, "/a/b%20c?x=1&x=2&e=", "café".encode(), cookie="a=1; b=2", X_One="1").json
    assert event["version"] == "2.0"
    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b c", "x=1&x=2&e=")
    assert event["queryStringParameters"] == {"x": "1,2", "e": ""}
    assert event["headers"]["x-one"] == "1"
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["requestContext"]["http"]["method"] == "POST"
    assert (event["body"], event["isBase64Encoded"]) == ("café", False)
    binary = over_http(runtime, "/", b"\xff\x00").json
    assert (base64.b64decode(binary["body"]), binary["isBase64Encoded"]) == (b"\xff\x00", True)
    assert "body" not in over_http(runtime, "/", b"").json


@pytest.mark.parametrize(
    ("answer", "marked"),
    [
        ({"statusCode": 201, "headers": {"a": "b"}, "body": "x", "isBase64Encoded": False}, True),
        ({"statusCode": 204}, True),
        ({"statusCode": 200, "rows": 5}, False),
        ({"statusCode": "200", "body": "x"}, False),
        ({"statusCode": True}, False),
        ({"body": "x"}, False),
    ],
)
def test_any_handler_may_answer_as_lambdas_do(start_runtime: StartRuntime, answer: Any, marked: bool) -> None:
    runtime = start_runtime(f"def handler(event, context): return {answer!r}")
    said = runtime.call()
    assert said.json == answer
    assert said.headers.get("penstock-answer") == ("lambda" if marked else None)
    runtime.end()


# Classes.

PREDICTOR = """
    class Predictor:
        def __init__(self):
            self.ready = False

        def setup(self):
            self.ready = True

        def predict(self, text: str, times: int = 2, *, context=None):
            return {"text": text * times, "ready": self.ready, "id": context.request_id}
"""


@pytest.fixture(scope="module")
def predictor(_processes: StartRuntime) -> Runtime:
    return _processes(PREDICTOR, handler="app:Predictor")


def test_a_predictor_is_set_up_once_and_gets_named_inputs(predictor: Runtime) -> None:
    assert predictor.initialize().status == 200
    said = predictor.call('{"text": "ab"}', x_fc_request_id="id-2")
    assert said.json == {"text": "abab", "ready": True, "id": "id-2"}
    assert predictor.call('{"text": "ab", "times": 1}').json["text"] == "ab"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "missing a required argument: 'text'"),
        (b"{}", "missing a required argument: 'text'"),
        (b'{"text": "a", "size": 1}', "unexpected keyword argument 'size'"),
        (b'"text"', "send a JSON object"),
        (b"text", "the body is none"),
    ],
)
def test_inputs_that_do_not_fit_are_the_clients_mistake(predictor: Runtime, body: bytes, says: str) -> None:
    said = predictor.call(body)
    assert (said.status, said.error) == (400, None)
    assert said.json["errorType"] == "InvalidEvent"
    assert says in said.json["errorMessage"]


def test_a_type_error_inside_predict_is_the_handlers(start_runtime: StartRuntime) -> None:
    runtime = start_runtime("class P:\n    def predict(self, a): return a + 1", handler="app:P")
    said = runtime.call('{"a": "x"}')
    assert (said.status, said.error) == (500, "TypeError")


def test_a_model_with_load_gets_the_event_as_it_is(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        class Model:
            def load(self): self.factor = 3
            def predict(self, model_input): return model_input["x"] * self.factor
        """,
        handler="app:Model",
    )
    assert runtime.call('{"x": 5}').json == 15


def test_asynchronous_setup_and_predict(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import asyncio
        class P:
            async def setup(self):
                await asyncio.sleep(0)
                self.loop = asyncio.get_running_loop()
            async def predict(self, x):
                return [x, self.loop is asyncio.get_running_loop()]
        """,
        handler="app:P",
    )
    assert runtime.call('{"x": 5}').json == [5, True]


def test_an_object_with_predict_serves_like_its_class(start_runtime: StartRuntime) -> None:
    runtime = start_runtime("class P:\n    def predict(self, a): return a\nmodel = P()", handler="app:model")
    assert runtime.call('{"a": 4}').json == 4


def test_a_setup_that_raises_fails_the_start(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        class P:
            def setup(self): raise FileNotFoundError("no weights in /models")
            def predict(self): ...
        """,
        handler="app:P",
    )
    said = runtime.initialize()
    assert (said.status, said.error) == (500, "FileNotFoundError")
    assert said.json["errorMessage"] == "no weights in /models"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("class handler: ...", "handler is the class app:handler, but it has no method predict"),
        ("handler = 5", "handler is app:handler, but app.py has no function handler"),
        ("handler = None", "handler is app:handler, but app.py has no function handler"),
    ],
)
def test_what_is_no_handler_is_said_so(start_runtime: StartRuntime, code: str, says: str) -> None:
    said = start_runtime(code).initialize()
    assert (said.status, said.error) == (500, "LoadError")
    assert said.json["errorMessage"] == says


# Arrays.


def test_what_has_tolist_becomes_json(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import numpy
        def handler(event, context):
            return {"scores": numpy.array([[1, 2], [3, 4]]), "best": numpy.float32(0.5)}
        """
    )
    assert runtime.call().json == {"scores": [[1, 2], [3, 4]], "best": 0.5}


# Hooks.


def test_pre_stop_runs_once_whoever_asks_first(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import sys
        def pre_stop(context): print("stopping", context.function.name, flush=True)
        def handler(event, context): return 1
        """
    )
    assert runtime.ask("GET", "/pre-stop").status == 200
    assert "stopping" not in runtime.log(), "what was never started has nothing to stop"
    runtime.call()
    assert [runtime.ask("GET", "/pre-stop").status for _ in range(2)] == [200, 200]
    runtime.process.terminate()
    runtime.process.wait(5)
    assert runtime.log().count("stopping tested") == 1


def test_the_signal_runs_pre_stop_when_nobody_asked(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        async def pre_stop(): print("stopping", flush=True)
        def handler(event, context): return 1
        """
    )
    runtime.call()
    runtime.process.terminate()
    runtime.process.wait(5)
    assert runtime.log().count("stopping") == 1


def test_a_pre_stop_that_raises_is_told_and_stops_nothing(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        def pre_stop(context): raise OSError("cannot upload")
        def handler(event, context): return 1
        """
    )
    runtime.call()
    said = runtime.ask("GET", "/pre-stop")
    assert (said.status, said.error, said.json["errorMessage"]) == (500, "OSError", "cannot upload")
    runtime.process.terminate()
    runtime.process.wait(5)
