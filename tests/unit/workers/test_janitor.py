"""Blobs that no record refers to go; others stay."""

from __future__ import annotations

from pathlib import Path

from penstock.blobs import DirectoryBlobs
from penstock.function import FunctionSpec
from penstock.ids import IdMint
from penstock.invocation import Request, Submission
from penstock.store import Store
from workers.frozen import Frozen
from workers.janitor import Janitor

MINT = IdMint("secret")


async def write(blobs: DirectoryBlobs, name: str) -> None:
    async with blobs.writer(name) as writer:
        await writer.write(b"x")
        await writer.commit()


async def test_only_blobs_without_a_record_go_and_only_old_ones(store: Store, unique: str, tmp_path: Path) -> None:
    await store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    blobs = DirectoryBlobs(tmp_path)
    kept, orphan = MINT.new(unique), MINT.new(unique)
    request = Request(size=1, blob=f"{unique}/{kept}.request")
    submission = Submission(
        function=unique, id=kept, kind="job", request=request, body=b"", max_age_ms=1000, timeout_ms=1000
    )
    await store.queue.submit(submission, depth=10)
    names = [f"{unique}/{kept}.request", f"{unique}/{kept}.answer.1", f"{unique}/{orphan}.request", "stranger"]
    for name in names:
        await write(blobs, name)

    janitor = Janitor(store, blobs, Frozen(tmp_path / "code"), list)
    assert await janitor.sweep(older_than=3600) == 0
    assert await janitor.sweep(older_than=-1) == 1
    assert sorted(await blobs.names(older_than=-1)) == sorted(set(names) - {f"{unique}/{orphan}.request"})
