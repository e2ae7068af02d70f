"""How an image is named by its content: a tag can be moved, by a build here or a push elsewhere, and the instances
of one revision must not differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_DIGEST = "@sha256:"


def by_digest(image: str) -> bool:
    return _DIGEST in image


def pinned(image: str, identity: str, digests: Sequence[str]) -> str:
    """The name that always means this content: one that a registry knows, else the id that this engine gave it.
    `digests`: what registries call it, as the engine knows."""
    if by_digest(image):
        return image
    return _in_its_registry(image, digests) or identity


def refusal(image: str, digests: Sequence[str]) -> str:
    """Why a tag is not enough where it may not move, and what to write instead."""
    known = _in_its_registry(image, digests)
    write = f"write {known}" if known else "push it to a registry and write the digest that `docker push` shows"
    return f"image {image} is a tag, which can be moved: in production {write} (or set docker.allow_tags)"


def gone(image: str, pin: str) -> str:
    """That what a tag named is nowhere any more."""
    return (
        f"image {image} was {pin[:19]} when this revision was deployed, and that is not here any more: "
        f"`penstock deploy --refresh` takes what it names now"
    )


def _in_its_registry(image: str, digests: Sequence[str]) -> str | None:
    repository = _repository(image)
    return next((one for one in digests if one.partition("@")[0] == repository), None)


def _repository(image: str) -> str:
    """Without its tag; the colon of a registry's port comes before a slash."""
    name, colon, tag = image.rpartition(":")
    return name if colon and "/" not in tag else image
