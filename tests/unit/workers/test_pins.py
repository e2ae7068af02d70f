"""By which name an image always means the same content, and what is said of one that has no such name."""

from __future__ import annotations

import pytest

from workers.engines import pins

HASH = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("image", "digests", "pin"),
    [
        ("my/model:1", [f"my/model@{HASH}"], f"my/model@{HASH}"),
        ("my/model", [f"my/model@{HASH}"], f"my/model@{HASH}"),
        ("host:5000/my/model", [f"my/model@{OTHER}", f"host:5000/my/model@{HASH}"], f"host:5000/my/model@{HASH}"),
        ("host:5000/my/model:1", [f"host:5000/my/model@{HASH}"], f"host:5000/my/model@{HASH}"),
        ("my/model:1", [f"their/model@{HASH}"], OTHER),
        ("my/model:1", [], OTHER),
        (f"my/model@{HASH}", [], f"my/model@{HASH}"),
        (f"my/model:1@{HASH}", [f"my/model@{OTHER}"], f"my/model:1@{HASH}"),
    ],
)
def test_a_registry_s_name_comes_before_the_engine_s_own(image: str, digests: list[str], pin: str) -> None:
    assert pins.pinned(image, OTHER, digests) == pin


def test_a_tag_that_may_not_be_is_refused_with_the_digest_to_write() -> None:
    assert f"in production write my/model@{HASH}" in pins.refusal("my/model:1", [f"my/model@{HASH}"])
    assert "push it to a registry" in pins.refusal("my/model:1", [f"their/model@{HASH}"])
