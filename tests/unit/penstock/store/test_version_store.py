"""Publishing versions and pointing aliases, on a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.errors import AliasNotFound, FunctionNotFound, InvalidRequest, VersionInUse, VersionNotFound
from penstock.function import FunctionSpec
from penstock.store import Store
from penstock.versions import Alias


async def deploy(store: Store, name: str, **spec: Any) -> None:
    fields = {"image": "my/model:1", **spec}
    await store.catalog.deploy(name, FunctionSpec.model_validate(fields))


async def point(store: Store, function: str, alias: str, **fields: Any) -> Alias:
    return await store.versions.put_alias(function, alias, lambda old: Alias(**fields))


async def test_versions_are_numbered_and_what_is_unchanged_is_not_published_again(
    store: Store, unique: str
) -> None:
    await deploy(store, unique)
    first = await store.versions.publish(unique, description="one")
    assert (first.name, first.base, first.version, first.description) == (f"{unique}@1", unique, "1", "one")
    again = await store.versions.publish(unique, description="another word for it")
    assert again == first
    await deploy(store, unique, image="my/model:2")
    second = await store.versions.publish(unique)
    assert second.version == "2"
    assert [one.spec.image for one in await store.versions.published(unique)] == ["my/model:1", "my/model:2"]
    assert len({first.digest, second.digest, (await store.catalog.get(unique)).digest}) == 3  # type: ignore[union-attr]


async def test_a_version_is_a_function_of_its_own_that_stays_as_it_is(store: Store, unique: str) -> None:
    await deploy(store, unique, env={"A": "1"})
    published = await store.versions.publish(unique)
    await deploy(store, unique, env={"A": "2"})
    assert (await store.catalog.get(f"{unique}@1")) == published
    assert published.spec.env == {"A": "1"}
    assert published.name in await store.catalog.stored()
    assert (await store.catalog.unready())[published.name] == "it is not prepared yet"
    assert [one.name for one in await store.catalog.list()] == [unique]
    assert [one.name for one in await store.catalog.list(versions=True)] == [unique, published.name]


async def test_what_stands_warm_is_not_published(store: Store, unique: str) -> None:
    await deploy(store, unique, scaling={"min": 2, "max": 3}, provision={"target": 2})
    spec = (await store.versions.publish(unique)).spec
    assert (spec.scaling.min, spec.scaling.max, spec.provision) == (0, 3, None)


async def test_code_that_is_not_known_is_not_published(store: Store, unique: str) -> None:
    spec = FunctionSpec(path="/srv/model")
    await store.catalog.deploy(unique, spec)
    with pytest.raises(InvalidRequest, match="what was in its folder is not known"):
        await store.versions.publish(unique)
    await store.catalog.deploy(unique, spec, code="digest")
    assert (await store.versions.publish(unique)).code == "digest"


async def test_numbers_are_not_used_again(store: Store, unique: str) -> None:
    await deploy(store, unique)
    await store.versions.publish(unique)
    await store.versions.remove(unique, "1")
    assert (await store.versions.publish(unique)).version == "2"
    assert await store.catalog.get(f"{unique}@1") is None


async def test_a_number_may_be_asked_for(store: Store, unique: str) -> None:
    await deploy(store, unique)
    await store.versions.publish(unique)
    assert (await store.versions.publish(unique, number=7)).version == "7"
    assert [one.version for one in await store.versions.published(unique)] == ["1", "7"]


async def test_aliases_need_their_versions_and_versions_are_kept_for_them(store: Store, unique: str) -> None:
    await deploy(store, unique)
    with pytest.raises(VersionNotFound):
        await point(store, unique, "prod", version="1")
    await store.versions.publish(unique)
    await store.versions.publish(unique, number=2)
    made = await point(store, unique, "prod", version="1", weights={"2": 0.1})
    with pytest.raises(VersionNotFound):
        await point(store, unique, "prod", version="1", weights={"3": 0.1})
    for number in ("1", "2"):
        with pytest.raises(VersionInUse, match=f"{unique}@{number} is in use by alias prod"):
            await store.versions.remove(unique, number)
    moved = await point(store, unique, "prod", version="LATEST")
    assert moved.created_at == made.created_at <= moved.updated_at
    await store.versions.remove(unique, "2")
    await store.versions.remove_alias(unique, "prod")
    with pytest.raises(AliasNotFound):
        await store.versions.remove_alias(unique, "prod")
    with pytest.raises(VersionNotFound):
        await store.versions.remove(unique, "2")


async def test_every_change_is_counted_so_that_gateways_look(store: Store, unique: str) -> None:
    await deploy(store, unique)
    seen = [await store.catalog.changes()]
    await store.versions.publish(unique)
    seen.append(await store.catalog.changes())
    await point(store, unique, "prod", version="1")
    seen.append(await store.catalog.changes())
    await store.versions.remove_alias(unique, "prod")
    seen.append(await store.catalog.changes())
    await store.versions.remove(unique, "1")
    seen.append(await store.catalog.changes())
    assert seen == sorted(set(seen))


async def test_what_is_not_deployed_has_no_versions(store: Store, unique: str) -> None:
    with pytest.raises(FunctionNotFound):
        await store.versions.publish(unique)
    with pytest.raises(FunctionNotFound):
        await point(store, unique, "prod", version="LATEST")
    assert (await store.versions.get(unique)).last == 0
    assert await store.versions.published(unique) == []


async def test_a_function_that_goes_takes_its_versions_and_aliases_along(store: Store, unique: str) -> None:
    await deploy(store, unique)
    await store.versions.publish(unique)
    await point(store, unique, "prod", version="1")
    assert await store.versions.forget(unique) == [f"{unique}@1", f"{unique}@prod"]
    await store.catalog.delete(unique)
    assert unique not in await store.versions.all()
    assert await store.catalog.get(f"{unique}@1") is None
    await deploy(store, unique)
    assert (await store.versions.publish(unique)).version == "1"


async def test_changes_at_the_same_time_do_not_undo_each_other(store: Store, unique: str) -> None:
    await deploy(store, unique)
    await store.versions.publish(unique)
    names = [f"alias-{n}" for n in range(12)]
    await asyncio.gather(
        *(point(store, unique, name, version="1") for name in names),
        *(store.versions.publish(unique, number=n) for n in (5, 6)),
        return_exceptions=False,
    )
    kept = await store.versions.get(unique)
    assert sorted(kept.aliases) == sorted(names)
    assert kept.last >= 6


async def test_an_alias_never_points_to_a_version_that_is_removed_at_the_same_time(
    store: Store, unique: str
) -> None:
    await deploy(store, unique)
    for number in range(1, 9):
        await store.versions.publish(unique, number=number)
    for number in map(str, range(1, 9)):
        await asyncio.gather(
            point(store, unique, f"a{number}", version=number),
            store.versions.remove(unique, number),
            return_exceptions=True,
        )
    left = {one.version for one in await store.versions.published(unique)}
    assert {alias.version for alias in (await store.versions.get(unique)).aliases.values()} <= left


async def test_domains(store: Store) -> None:
    from penstock.domains import Domain

    one, other = Domain.model_validate("chat"), Domain.model_validate("echo")
    assert await store.domains.put("a.example", one)
    assert not await store.domains.put("a.example", other, new=True)
    assert await store.domains.all() == {"a.example": one}
    before = await store.catalog.changes()
    assert not await store.domains.put("a.example", other)
    assert await store.catalog.changes() > before
    assert await store.domains.all() == {"a.example": other}
    assert await store.domains.remove("a.example")
    assert not await store.domains.remove("a.example")
