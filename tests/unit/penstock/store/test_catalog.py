"""Deploying functions: the same again changes nothing, each change is a revision, no writer is lost."""

from __future__ import annotations

import asyncio

from penstock import keys
from penstock.function import FunctionSpec
from penstock.store import Store
from tests.unit.penstock.store.world import SPEC, listening

OTHER = FunctionSpec(image="my/image:1", timeout=30)


async def test_what_is_deployed_reads_back(store: Store) -> None:
    deployed = await store.catalog.deploy("one", OTHER, code="digest of a folder")

    assert (deployed.name, deployed.spec, deployed.revision) == ("one", OTHER, 1)
    assert await store.catalog.get("one") == deployed


async def test_what_is_not_deployed_is_not_there(store: Store) -> None:
    assert await store.catalog.get("one") is None
    assert await store.catalog.list() == []


async def test_functions_are_listed_by_name(store: Store) -> None:
    for name in ("two", "one", "three"):
        await store.catalog.deploy(name, SPEC)

    assert [function.name for function in await store.catalog.list()] == ["one", "three", "two"]


async def test_the_same_spec_and_code_again_change_nothing(store: Store) -> None:
    first = await store.catalog.deploy("one", SPEC, code="a")
    changes = await store.catalog.changes()

    assert await store.catalog.deploy("one", SPEC, code="a") == first
    assert await store.catalog.changes() == changes


async def test_a_change_of_spec_or_code_is_a_new_revision(store: Store) -> None:
    revisions = [
        (await store.catalog.deploy("one", spec, code=code)).revision
        for spec, code in [(SPEC, "a"), (OTHER, "a"), (OTHER, "b"), (SPEC, "a")]
    ]

    assert revisions == [1, 2, 3, 4]


async def test_of_many_deploys_at_once_none_is_lost(store: Store) -> None:
    specs = [FunctionSpec(command=("server",), port=9000 + number) for number in range(8)]

    deployed = await asyncio.gather(*(store.catalog.deploy("one", spec) for spec in specs))

    assert sorted(function.revision for function in deployed) == [1, 2, 3, 4, 5, 6, 7, 8]
    last = max(deployed, key=lambda function: function.revision)
    assert await store.catalog.get("one") == last


async def test_the_same_deploy_many_times_at_once_is_one_revision(store: Store) -> None:
    deployed = await asyncio.gather(*(store.catalog.deploy("one", SPEC) for _ in range(8)))

    assert {function.revision for function in deployed} == {1}
    assert await store.catalog.changes() == 1


async def test_a_deleted_function_is_gone(store: Store) -> None:
    await store.catalog.deploy("one", SPEC)

    assert await store.catalog.delete("one") is True
    assert await store.catalog.get("one") is None
    assert await store.catalog.unready() == {}
    assert await store.catalog.delete("one") is False


async def test_each_change_is_counted_and_told(store: Store) -> None:
    assert await store.catalog.changes() == 0

    async with listening(store.wakes()) as ear:
        await store.catalog.deploy("one", SPEC)
        assert await ear.next() == (keys.CHANGED, b"one")
        await store.catalog.delete("one")
        assert await ear.next() == (keys.CHANGED, b"one")
    assert await store.catalog.changes() == 2


async def test_gateways_are_told_of_a_change_too(store: Store) -> None:
    async with listening(store.replies("gateway-1")) as ear:
        await store.catalog.deploy("one", SPEC)

        assert await ear.next() == (keys.CHANGED, b"one")


async def test_a_new_revision_is_not_ready_before_somebody_says_so(store: Store) -> None:
    await store.catalog.deploy("one", SPEC)
    assert await store.catalog.unready() == {"one": "revision 1 is not prepared yet"}
    await store.catalog.set_ready("one", None)
    assert await store.catalog.unready() == {}

    await store.catalog.deploy("one", OTHER)

    assert await store.catalog.unready() == {"one": "revision 2 is not prepared yet"}


async def test_the_same_deploy_again_leaves_a_ready_function_ready(store: Store) -> None:
    await store.catalog.deploy("one", SPEC)
    await store.catalog.set_ready("one", None)

    await store.catalog.deploy("one", SPEC)

    assert await store.catalog.unready() == {}


async def test_why_a_function_cannot_be_invoked_is_told_and_is_no_change_of_it(store: Store) -> None:
    await store.catalog.deploy("one", SPEC)
    changes = await store.catalog.changes()

    await store.catalog.set_ready("one", "pip install failed: Grüße")

    assert await store.catalog.unready() == {"one": "pip install failed: Grüße"}
    assert await store.catalog.changes() == changes


async def test_what_an_image_named_is_kept_for_its_revision(store: Store) -> None:
    spec = FunctionSpec(image="my/image:1")
    first = await store.catalog.deploy("one", spec)
    assert first.pinned is None
    await store.catalog.pin(first, "sha256:1")
    kept = await store.catalog.get("one")
    assert kept == first.model_copy(update={"pinned": "sha256:1"})
    assert await store.catalog.deploy("one", spec) == kept, "the same spec again changes nothing"
    second = await store.catalog.deploy("one", spec, refresh=True)
    assert (second.revision, second.pinned) == (2, None), "what its tag names now is looked up"
    assert await store.catalog.deploy("one", spec) == second
    await store.catalog.pin(first, "sha256:1")
    assert await store.catalog.get("one") == second, "it is another revision's"
    await store.catalog.delete("one")
    await store.catalog.pin(second, "sha256:2")
    assert await store.catalog.get("one") is None
