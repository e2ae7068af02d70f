"""Pages of elsewhere: those that a setting names may call this gateway, and no other."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app import check
from gateway.cors import allowed
from penstock.errors import ConfigurationError
from penstock.settings import GatewaySettings, Settings, load
from tests.unit.gateway.conftest import House, OpenHouse, answer

APP = "https://app.example.com"
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, idempotency-key"}


async def test_a_preflight_of_a_named_origin_is_answered(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=(APP,))
    reply = await house.client.options(house.calls, headers={"Origin": APP, **ASK})
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == APP
    assert reply.headers["Access-Control-Allow-Methods"] == "POST"
    assert reply.headers["Access-Control-Allow-Headers"] == "content-type, idempotency-key"
    assert reply.headers["Access-Control-Max-Age"] == "7200"
    assert reply.headers.getall("Vary") == ["Access-Control-Request-Method", "Origin"]
    assert "Access-Control-Allow-Credentials" not in reply.headers
    assert await house.queued() == 0


async def test_an_answer_can_be_read_by_a_page_of_a_named_origin(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=(APP,), cors_credentials=True)
    call = asyncio.create_task(house.post(Origin=APP))
    run = await house.take()
    await house.finish(run, answer(headers=(("Access-Control-Allow-Origin", "*"), ("Vary", "Accept"))))
    reply = await call
    assert reply.headers.getall("Access-Control-Allow-Origin") == [APP], (
        "that of the function would be a second one"
    )
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Penstock-Invocation-Id" in reply.headers["Access-Control-Expose-Headers"]
    assert set(reply.headers.getall("Vary")) == {"Accept", "Origin"}


async def test_a_refusal_can_be_read_too(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=(APP,))
    reply = await house.client.get("/v1/functions/none", headers={"Origin": APP})
    assert reply.status == 404
    assert reply.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{APP}.evil.example", "http://app.example.com", "null", "*"]
)
async def test_other_origins_are_turned_away(open_house: OpenHouse, origin: str) -> None:
    house: House = await open_house(cors_origins=(APP,))
    asked = await house.client.options(house.calls, headers={"Origin": origin, **ASK})
    called = await house.post(Origin=origin)
    for reply in (asked, called):
        assert reply.status == 403
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert await house.queued() == 0


async def test_a_star_opens_nothing_to_pages_while_there_are_no_keys(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=("*",))
    assert (await house.post(Origin=APP)).status == 403
    assert await house.queued() == 0


async def test_a_named_origin_is_of_no_help_to_another_host(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=(APP,))
    reply = await house.client.get("/v1/functions", headers={"Origin": APP, "Host": "rebound.example"})
    assert reply.status == 403


async def test_options_without_a_page_reach_the_function(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=(APP,))
    call = asyncio.create_task(house.client.options(f"/fn/{house.function}/x"))
    run = await house.take()
    assert run.invocation.request.method == "OPTIONS"
    await house.finish(run)
    assert (await call).status == 200


async def test_strange_words_of_a_preflight_are_not_repeated(open_house: OpenHouse) -> None:
    house: House = await open_house(cors_origins=(APP,))
    strange = {"Access-Control-Request-Method": "PO ST", "Access-Control-Request-Headers": "a b; c"}
    reply = await house.client.options(house.calls, headers={"Origin": APP, **strange})
    assert reply.status == 204
    assert not {"Access-Control-Allow-Methods", "Access-Control-Allow-Headers"} & set(reply.headers)


async def test_without_origins_nothing_is_said_of_them(house: House) -> None:
    reply = await house.client.get("/v1/functions", headers={"Origin": "http://localhost:3000"})
    assert reply.status == 200
    assert [name for name in reply.headers if name.startswith("Access-Control")] == []


def test_a_star_names_no_origin() -> None:
    assert not allowed(GatewaySettings(cors_origins=("*",)), "*")


@pytest.mark.parametrize("origin", ["app.example.com", f"{APP}/", f"{APP}/path", "HTTPS://APP", "https://a?b"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"gateway.cors_origins"):
        load({"gateway.cors_origins": origin})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cors_origins": ("*",), "insecure": True}, "name the origins"),
        ({"cors_origins": ("*",), "cors_credentials": True}, "by name"),
        ({"tls_cert": "/x"}, "go together"),
        ({"tls_client_ca": "/x"}, "needs gateway.tls_cert"),
        ({"tls_cert": "/none/x", "tls_key": "/none/y"}, "/none/x: No such file"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check(Settings(secret="s", gateway=fields))  # type: ignore[arg-type]
