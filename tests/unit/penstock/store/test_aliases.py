"""Names that other vendors' clients call functions by."""

from __future__ import annotations

from penstock.store import Store


async def test_an_alias_lasts_as_long_as_its_function(store: Store) -> None:
    await store.aliases.put({"Service/Index": "index", "Other": "other"})
    assert await store.aliases.get("Service/Index") == "index"
    assert await store.aliases.get("index") is None
    await store.aliases.forget("index")
    assert await store.aliases.all() == {"Other": "other"}
