"""The log of an instance, read from whoever leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.store.leadership import Inner
from tests.unit.gateway.conftest import House
from tests.unit.gateway.streams import SOON, Answer, speaking


@pytest.fixture
async def leader(house: House, tmp_path: Path) -> AsyncIterator[Answer]:
    async with speaking(tmp_path) as answer:
        await house.store.leadership.announce(house.epoch, Inner(answer.address, "/instances/{instance}/sig/logs"))
        yield answer


def path(house: House, query: str = "") -> str:
    return f"/v1/functions/{house.function}/instances/{house.function}-1/logs{query}"


async def test_lines_are_passed_on(house: House, leader: Answer) -> None:
    leader.say(b"a\n", b"b\n")
    leader.end()
    response = await house.client.get(path(house))
    assert (response.status, await response.text()) == (200, "a\nb\n")
    assert response.content_type == "text/plain"


async def test_each_line_comes_at_once(house: House, leader: Answer) -> None:
    async with house.client.get(path(house, "?follow=true&tail=5")) as response:
        for line in (b"a\n", b"b\n"):
            leader.say(line)
            assert await asyncio.wait_for(response.content.readline(), SOON) == line
        response.close()
    await asyncio.wait_for(leader.left.wait(), SOON)


async def test_an_instance_that_nobody_knows(house: House, leader: Answer) -> None:
    leader.status = 404
    response = await house.client.get(path(house))
    assert (response.status, (await response.json())["code"]) == (404, "instance_not_found")


async def test_a_leader_that_is_gone_or_never_was(house: House, tmp_path: Path) -> None:
    response = await house.client.get(path(house))
    assert (response.status, (await response.json())["code"]) == (503, "no_leader")
    await house.store.leadership.announce(house.epoch, Inner(f"unix:{tmp_path}/gone.sock", "/{instance}"))
    response = await house.client.get(path(house))
    assert (response.status, (await response.json())["code"]) == (503, "no_leader")


@pytest.mark.parametrize("query", ["?tail=x", "?tail=-1", "?tail=10001", "?tail=", "?follow=maybe", "?tail=٣"])
async def test_what_cannot_be_meant_is_refused(house: House, leader: Answer, query: str) -> None:
    response = await house.client.get(path(house, query))
    assert (response.status, (await response.json())["code"]) == (400, "invalid_request")


async def test_a_leader_that_goes_ends_the_log(house: House, leader: Answer) -> None:
    async with house.client.get(path(house, "?follow=1")) as response:
        leader.say(b"a\n")
        assert await asyncio.wait_for(response.content.readline(), SOON) == b"a\n"
        leader.break_off()
        assert await asyncio.wait_for(response.content.readline(), SOON) == b""
