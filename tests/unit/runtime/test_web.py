"""Flask and FastAPI applications, and plain WSGI and ASGI ones, as they are: every path, method and header."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from tests.unit.runtime.conftest import Runtime, StartRuntime
from tests.unit.workers.waiting import until_now

HTTP = {"x-fc-control-path": "/http-invoke"}

FLASK = """
    import threading
    from flask import Flask, Response, jsonify, request

    app = Flask(__name__)
    ready = []
    go = threading.Event()

    @app.route("/initialize", methods=["POST"])
    def initialize():
        request_id = request.headers.get("x-fc-request-id", "")
        print("FC Initialize Start RequestId: " + request_id, flush=True)
        ready.append(request_id)
        return "Function is initialized, request_id: " + request_id + "\\n"

    @app.route("/invoke", methods=["POST"])
    def invoke():
        return jsonify(got=request.get_data(as_text=True), ready=ready,
                       id=request.environ["penstock.context"].request_id)

    @app.route("/pre-stop")
    def bye():
        print("FC PreStop", flush=True)
        return "bye"

    @app.route("/show/<path:path>", methods=["GET", "PUT", "DELETE", "POST", "HEAD"])
    def show(path):
        answer = jsonify(method=request.method, path=path, query=request.args.to_dict(flat=False),
                         header=request.headers.get("X-Custom"), kind=request.content_type,
                         length=request.content_length, body=request.get_data(as_text=True))
        answer.status_code = 418
        answer.headers["X-Answer"] = "42"
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    @app.route("/upload", methods=["POST"])
    def upload():
        return str(len(request.files["file"].read()))

    @app.route("/tokens")
    def tokens():
        def generate():
            yield "first"
            go.wait(20)
            yield "second"
        return Response(generate(), mimetype="text/event-stream")

    @app.route("/go")
    def let_go():
        go.set()
        return ""

    @app.route("/raise")
    def fail():
        raise RuntimeError("inside Flask")
"""


@pytest.fixture(scope="module")
def flask(_processes: StartRuntime) -> Runtime:
    return _processes(FLASK, handler="app:app", concurrency="3")


FASTAPI = """
    import asyncio
    from contextlib import asynccontextmanager
    from fastapi import BackgroundTasks, FastAPI, File, Request, Response, UploadFile
    from fastapi.responses import StreamingResponse

    log = []

    @asynccontextmanager
    async def lifespan(app):
        print("lifespan begins", flush=True)
        log.append("started")
        yield {"model": "loaded"}
        print("lifespan ends", flush=True)

    app = FastAPI(lifespan=lifespan)
    go = asyncio.Event()

    @app.post("/invoke")
    async def invoke(request: Request):
        return {"got": (await request.body()).decode(), "log": log, "model": request.state.model,
                "id": request.scope["penstock.context"].request_id}

    @app.api_route("/show/{path:path}", methods=["GET", "PUT", "DELETE", "POST", "HEAD"])
    async def show(path: str, request: Request, response: Response):
        response.status_code = 418
        response.headers["X-Answer"] = "42"
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        body = await request.body()
        return {"method": request.method, "path": path, "query": query, "body": body.decode(),
                "header": request.headers.get("X-Custom"), "kind": request.headers.get("content-type"),
                "length": int(request.headers.get("content-length", 0))}

    @app.post("/upload")
    async def upload(request: Request):
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return Response(str(size))

    @app.get("/tokens")
    async def tokens():
        async def generate():
            log.append("waits")
            try:
                yield "first"
                await go.wait()
                yield "second"
            except asyncio.CancelledError:
                log.append("cancelled")
                raise
        return StreamingResponse(generate(), media_type="text/event-stream")

    @app.get("/wait")
    async def wait():
        log.append("waits")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    @app.get("/background")
    async def background(tasks: BackgroundTasks):
        async def later():
            await asyncio.sleep(0.2)
            log.append("later")
        tasks.add_task(later)
        return Response("soon")

    @app.get("/thread")
    def in_a_thread():
        import threading
        return threading.current_thread() is not threading.main_thread()

    @app.get("/go")
    async def let_go():
        go.set()
        return Response("")

    @app.get("/raise")
    async def fail():
        raise RuntimeError("inside FastAPI")
"""


@pytest.fixture(scope="module")
def fastapi(_processes: StartRuntime) -> Runtime:
    return _processes(FASTAPI, handler="app:app", concurrency="3")


@pytest.fixture(params=["flask", "fastapi"])
def either(request: pytest.FixtureRequest) -> Runtime:
    runtime: Runtime = request.getfixturevalue(request.param)
    return runtime


def test_flask_gets_the_requests_of_hooks_that_it_has_routes_for(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(FLASK, handler="app:app")
    said = runtime.ask("POST", "/initialize", headers={"x-fc-request-id": "i-1"})
    assert (said.status, said.body) == (200, b"Function is initialized, request_id: i-1\n")
    assert runtime.call("x", x_fc_request_id="id-1").json == {"got": "x", "ready": ["i-1"], "id": "id-1"}
    assert runtime.ask("GET", "/pre-stop").body == b"bye"
    assert "FC Initialize Start RequestId: i-1" in runtime.log()
    assert "FC PreStop" in runtime.log()


def test_an_application_without_such_routes_starts_too(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(FASTAPI, handler="app:app")
    assert runtime.initialize().status == 200
    assert runtime.call("x", x_fc_request_id="id-1").json == {
        "got": "x",
        "log": ["started"],
        "model": "loaded",
        "id": "id-1",
    }
    assert runtime.ask("GET", "/pre-stop").status == 200
    assert runtime.ask("POST", "/initialize", headers=HTTP).status == 404, "an HTTP call is the application's"
    runtime.process.terminate()
    runtime.process.wait(5)
    assert runtime.log().count("lifespan begins") == runtime.log().count("lifespan ends") == 1


def test_a_hook_that_takes_the_context_is_run_and_its_route_is_not_asked(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        from flask import Flask
        app = Flask(__name__)
        ready = []

        def initialize(context):
            ready.append(context.function.name)

        @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
        @app.route("/<path:path>", methods=["GET", "POST"])
        def everything(path):
            ready.append(path)
            return ready
        """,
        handler="app:app",
    )
    assert runtime.initialize().body == b""
    assert runtime.ask("GET", "/a/b").json == ["tested", "a/b"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_every_method_path_query_and_header_reaches_it(either: Runtime, method: str) -> None:
    headers = HTTP | {"X-Custom": "ü".encode().decode("latin-1"), "Content-Type": "text/x-thing"}
    said = either.ask(method, "/show/a%20b/%C3%A4?x=1&x=2&y=%26", b"body", headers)
    assert said.status == 418
    assert said.headers["x-answer"] == "42"
    shown = said.json
    assert shown.pop("header").encode("latin-1").decode() == "ü"
    assert shown == {
        "method": method,
        "path": "a b/ä",
        "query": {"x": ["1", "2"], "y": ["&"]},
        "kind": "text/x-thing",
        "length": 4,
        "body": "body",
    }


def test_head_has_headers_and_no_body(either: Runtime) -> None:
    said = either.ask("HEAD", "/show/x", headers=HTTP)
    assert (said.status, said.headers["x-answer"], said.body) == (418, "42", b"")


def test_repeated_headers_stay_apart(either: Runtime) -> None:
    with socket.create_connection(("127.0.0.1", either.port), timeout=10) as client:
        client.sendall(b"GET /show/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b""
        while chunk := client.recv(65536):
            text += chunk
    assert text.lower().count(b"\r\nset-cookie:") == 2


def test_a_path_that_it_does_not_have_is_its_own_404(either: Runtime) -> None:
    said = either.ask("GET", "/nowhere", headers=HTTP)
    assert (said.status, said.error) == (404, None)


def test_a_large_body_arrives(either: Runtime) -> None:
    size = 5_000_000
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    form = head + b"y" * size + b"\r\n--x--\r\n"
    said = either.ask("POST", "/upload", form, HTTP | {"Content-Type": "multipart/form-data; boundary=x"})
    assert int(said.body) in (size, len(form))


def test_its_stream_leaves_as_it_is_made(either: Runtime) -> None:
    with socket.create_connection(("127.0.0.1", either.port), timeout=10) as client:
        client.sendall(b"GET /tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b""
        while b"first" not in text:
            text += client.recv(65536)
        assert b"second" not in text
        assert b"text/event-stream" in text
        assert either.ask("GET", "/go", headers=HTTP).status == 200
        while chunk := client.recv(65536):
            text += chunk
    assert text.endswith(b"second\r\n0\r\n\r\n")


def test_its_own_500_passes_and_the_log_has_the_traceback(either: Runtime) -> None:
    said = either.ask("GET", "/raise", headers=HTTP)
    assert said.status == 500
    until_now(lambda: "RuntimeError: inside F" in either.log(), "the traceback is in the log")
    assert either.ask("GET", "/nowhere").status == 404, "and it goes on"


def test_a_caller_that_leaves_cancels_an_endpoint(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(FASTAPI, handler="app:app", concurrency="2")
    for count, path in enumerate(("/wait", "/tokens"), start=1):
        with socket.create_connection(("127.0.0.1", runtime.port), timeout=10) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nx-fc-request-id: a\r\n\r\n".encode())
            until_now(waits(runtime, count), "it waits")
            assert runtime.running() == ["a"]
        until_now(lambda: not runtime.running(), "it is over")
        assert runtime.call().json["log"].count("cancelled") == count
    assert runtime.process.poll() is None


def waits(runtime: Runtime, count: int) -> Callable[[], bool]:
    return lambda: runtime.call().json["log"].count("waits") == count


def test_a_background_task_goes_on_after_its_answer(fastapi: Runtime) -> None:
    assert fastapi.ask("GET", "/background", headers=HTTP).body == b"soon"
    until_now(lambda: "later" in fastapi.call().json["log"], "it is done")


def test_who_has_the_whole_answer_may_leave_before_its_last_message(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import asyncio

        ends = []

        async def app(scope, receive, send):
            if scope["path"] == "/ends":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": str(ends).encode()})
                return
            try:
                head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
                await send(head)
                await send({"type": "http.response.body", "body": b"text", "more_body": True})
                await asyncio.sleep(0.1)
                await send({"type": "http.response.body"})
                ends.append("whole")
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
        """,
        handler="app:app",
        concurrency="2",
    )
    for method in ("GET", "HEAD"):
        assert runtime.ask(method, "/").status == 200
        until_now(lambda: runtime.ask("GET", "/ends").body != b"[]", "it is over")
        until_now(lambda: not runtime.running(), "it is over")
    assert runtime.ask("GET", "/ends").body == b"['whole', 'whole']"


def test_a_synchronous_endpoint_has_its_thread(fastapi: Runtime) -> None:
    assert fastapi.ask("GET", "/thread", headers=HTTP).json is True


# Plain applications.

PLAIN_WSGI = """
    import sys
    initialized = []

    def initialize(context):
        initialized.append(context.function.name)

    def handler(environ, start_response):
        context = environ['fc.context']
        match environ['PATH_INFO']:
            case '/write':
                start_response('200 OK', [('Content-Type', 'text/plain')])(b'written ')
                return [b'and returned']
            case '/twice':
                start_response('200 OK', [])
                try:
                    1 / 0
                except ZeroDivisionError:
                    start_response('500 Oops', [('Content-Type', 'text/plain')], sys.exc_info())
                return [b'replaced']
            case '/never':
                return [b'']
            case '/late':
                def late():
                    yield b''
                    start_response('202 Accepted', [])
                    yield b'late'
                return late()
            case '/raise':
                raise ValueError('plain')
            case '/break':
                def broken():
                    yield b'some'
                    raise ValueError('in the middle')
                start_response('200 OK', [])
                return broken()
        start_response('200 OK', [('Content-Type', 'text/plain'), ('X-Uri', environ['fc.request_uri'])])
        body = environ['wsgi.input'].read()
        return [f"{initialized} {context.request_id} {environ['REQUEST_METHOD']} ".encode(), body]
"""


@pytest.fixture(scope="module")
def plain_wsgi(_processes: StartRuntime) -> Runtime:
    return _processes(PLAIN_WSGI)


def test_the_http_handler_of_function_compute(plain_wsgi: Runtime) -> None:
    assert plain_wsgi.initialize().status == 200
    said = plain_wsgi.ask("PUT", "/a%20b?c=d", b"body", HTTP | {"x-fc-request-id": "id-1"})
    assert said.body == b"['tested'] id-1 PUT body"
    assert said.headers["x-uri"] == "/a%20b?c=d"


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/write", 200, b"written and returned"), ("/twice", 500, b"replaced"), ("/late", 202, b"late")],
)
def test_the_rarer_ways_to_answer(plain_wsgi: Runtime, path: str, status: int, body: bytes) -> None:
    said = plain_wsgi.ask("GET", path, headers=HTTP)
    assert (said.status, said.body, said.error) == (status, body, None)


@pytest.mark.parametrize(("path", "error"), [("/never", "RuntimeError"), ("/raise", "ValueError")])
def test_an_application_that_fails_is_an_error_of_the_function(plain_wsgi: Runtime, path: str, error: str) -> None:
    said = plain_wsgi.ask("GET", path, headers=HTTP)
    assert (said.status, said.error) == (500, error)


def test_an_error_in_the_middle_of_its_answer_is_told(plain_wsgi: Runtime) -> None:
    with socket.create_connection(("127.0.0.1", plain_wsgi.port), timeout=10) as client:
        client.sendall(b"GET /break HTTP/1.1\r\nHost: x\r\nx-fc-request-id: b\r\n\r\n")
        text = b""
        while chunk := client.recv(65536):
            text += chunk
    assert text.endswith(b"some\r\n"), "broken off"
    status = plain_wsgi.ask("GET", "/.penstock/status").json
    assert status["broken_off"]["b"]["errorMessage"] == "in the middle"


def test_a_plain_asgi_application_that_does_not_speak_lifespan(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        async def app(scope, receive, send):
            assert scope["type"] == "http"
            if scope["path"] == "/half":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return
            message = await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": message["body"] + b"!", "more_body": True})
            await send({"type": "http.response.body"})
        """,
        handler="app:app",
    )
    assert runtime.initialize().status == 200
    assert runtime.call("x").body == b"x!"
    with socket.create_connection(("127.0.0.1", runtime.port), timeout=10) as client:
        client.sendall(b"GET /half HTTP/1.1\r\nHost: x\r\nx-fc-request-id: h\r\n\r\n")
        while client.recv(65536):
            pass
    told = runtime.ask("GET", "/.penstock/status").json["broken_off"]["h"]["errorMessage"]
    assert told == "the application returned without a whole answer"


@pytest.mark.parametrize("how", ["raise RuntimeError('no card')", "exit(3)"])
def test_a_lifespan_that_fails_fails_the_start(start_runtime: StartRuntime, how: str) -> None:
    runtime = start_runtime(
        f"""
        from contextlib import asynccontextmanager
        from fastapi import FastAPI

        @asynccontextmanager
        async def lifespan(app):
            {how}
            yield

        app = FastAPI(lifespan=lifespan)
        """,
        handler="app:app",
    )
    said = runtime.initialize()
    assert said.status == 500
    assert (said.error, said.json["errorMessage"]) in [("RuntimeError", "no card"), ("SystemExit", "3")]


def test_any_json_body_reaches_a_typed_endpoint(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        from fastapi import FastAPI
        from pydantic import BaseModel

        class Question(BaseModel):
            text: str

        app = FastAPI()

        @app.post("/invoke")
        def invoke(question: Question) -> dict:
            return {"length": len(question.text)}
        """,
        handler="app:app",
    )
    kind = {"content_type": "application/json"}
    assert runtime.call(json.dumps({"text": "four"}), **kind).json == {"length": 4}
    assert runtime.call("{}", **kind).status == 422
