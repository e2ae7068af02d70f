"""A server of the user's own, as a command or as an image: the container contract as it sees it."""

from __future__ import annotations

import statistics

from tests.e2e.harness import Stack, wait_until


def test_initialize_is_asked_until_it_is_there_and_then_never_again(stack: Stack) -> None:
    stack.gone("server")
    first = stack.call("server", b"one")
    assert first.headers["Penstock-Cold-Start"] == "true"
    assert first.json()["initialized"] == 3, "404, 404, 200"
    second = stack.call("server", b"two")
    assert second.headers["Penstock-Cold-Start"] == "false"
    assert second.json()["initialized"] == 3, "once per instance"

    headers = first.json()["headers"]
    assert headers["x-fc-request-id"] == first.headers["Penstock-Invocation-Id"]
    assert headers["x-fc-function-name"] == "server"
    assert headers["x-fc-function-memory"] == "256"
    assert headers["x-fc-control-path"] == "/invoke"
    assert headers["x-fc-invocation-type"] == "Sync"
    assert not [name for name in headers if name.startswith(("authorization", "x-fc-access", "x-fc-security"))]

    instance = stack.http.get(f"{stack.url}/v1/functions/server/instances", timeout=5).json()["instances"][0]
    assert {instance["id"]} == stack.instances("server")
    assert instance["timeline"]["initializing"] > 0
    stack.gone("server")


def test_a_warm_call_is_quick(stack: Stack) -> None:
    """Of what a caller waits for, all but the function's own work is ours."""
    took = []
    for n in range(30):
        reply = stack.call("echo", b"%d" % n * 50)
        assert reply.status_code == 200
        took.append(reply.elapsed.total_seconds())
    assert statistics.median(took) < 0.025, [f"{seconds * 1000:.0f} ms" for seconds in took]


def test_an_event_call_that_answers_an_error_has_failed_and_its_answer_is_passed_on(stack: Stack) -> None:
    """/invoke of this server answers 200 whatever the client says, since only the content type reaches it."""
    reply = stack.call("server", b"x", headers={"X-Want-Status": "500"})
    assert reply.status_code == 200
    assert "x-want-status" not in reply.json()["headers"]


def test_a_server_on_the_wrong_port_is_found_out(process_stack: Stack) -> None:
    """It must own the port that it was given; another process there must not get its calls."""
    stack = process_stack
    job = stack.submit("stubborn", b"")["id"]
    wait_until(
        lambda: "into its start" in (stack.record("stubborn", job)["waiting_reason"] or ""), 5, "it says why"
    )
    stack.http.delete(f"{stack.url}/v1/functions/stubborn", timeout=5)
    assert stack.record("stubborn", job)["state"] == "cancelled"
    stack.gone("stubborn")
