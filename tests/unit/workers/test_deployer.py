"""Each deployed revision is prepared and handed to the pool; what cannot be is said, and tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.code import folder_digest
from penstock.function import FunctionSpec
from penstock.store import Store
from penstock.tasks import Tasks
from tests.unit.workers.samples import IDS, SILENT, pushing
from tests.unit.workers.waiting import until
from workers.channel import Channel
from workers.deployer import Deployer
from workers.engines.process import ProcessEngine
from workers.frozen import Frozen
from workers.placement import Board
from workers.pool import Pool
from workers.submitting import Submitting
from workers.triggers import Triggers


@dataclass(frozen=True)
class Site:
    store: Store
    pool: Pool
    deployer: Deployer
    changed: list[str]

    async def ready(self, name: str) -> bool:
        return name not in await self.store.catalog.unready()

    async def problem(self, name: str) -> str | None:
        text = (await self.store.catalog.unready()).get(name)
        return text if text and "not prepared yet" not in text else None


@pytest.fixture
async def site(store: Store, tmp_path: Path) -> AsyncIterator[Site]:
    async def sure() -> None: ...

    changed: list[str] = []
    engine = ProcessEngine(data_dir=tmp_path, deployment="d")
    channel = Channel(DirectoryBlobs(tmp_path), max_answer=1)
    tasks = Tasks()
    pool = Pool(
        engine,
        channel,
        pushing(channel, engine),
        SILENT,
        epoch=1,
        board=Board(),
        guard=sure,
        on_ready=changed.append,
        on_change=changed.append,
    )
    submitting = Submitting(store, DirectoryBlobs(tmp_path), secret=IDS)
    triggers = Triggers(store, submitting, url="unix:///nowhere")
    deployer = Deployer(store, pool, tasks, triggers, Frozen(tmp_path / "code"), changed.append)
    site = Site(store, pool, deployer, changed)
    # What is there before its first look nobody waits for; the tests are about what comes later.
    await store.catalog.deploy("before", FunctionSpec(command=("server",)))
    tasks.loop("deployer", deployer.run)
    await until(lambda: site.ready("before"), "it has looked for the first time")
    yield site
    await tasks.stop()
    await pool.close()
    await channel.close()


async def test_a_new_function_becomes_ready_and_is_handed_to_the_pool(site: Site, unique: str) -> None:
    function = await site.store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    assert not await site.ready(unique)
    site.deployer.look()
    await until(lambda: site.ready(unique), "the function is ready")
    assert site.pool.functions[unique].function == function
    assert site.pool.functions[unique].prepared
    assert unique in site.changed


async def test_a_hint_that_was_lost_costs_a_second(site: Site, unique: str) -> None:
    await site.store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    await until(lambda: site.ready(unique), "the function is ready", timeout=5.0)


async def test_a_function_that_cannot_be_prepared_says_why(site: Site, unique: str) -> None:
    await site.store.catalog.deploy(unique, FunctionSpec(image="my/model:1"))
    site.deployer.look()
    problem = await until(lambda: site.problem(unique), "it says why")
    assert problem is not None
    assert problem.startswith("cannot be prepared: image needs containers: start with --engine docker")
    blocked = site.pool.functions[unique].blocked()
    assert blocked is not None, "held calls are told at once"
    assert "image needs containers" in blocked.message


async def test_a_folder_that_is_not_there_is_named(site: Site, unique: str, tmp_path: Path) -> None:
    await site.store.catalog.deploy(unique, FunctionSpec(path=str(tmp_path / "gone")))
    site.deployer.look()
    problem = await until(lambda: site.problem(unique), "it says why")
    assert problem == f"cannot be prepared: path {tmp_path / 'gone'} is not a folder on the machine of the workers"


async def test_a_better_revision_is_taken_without_waiting_for_the_next_try(site: Site, unique: str) -> None:
    await site.store.catalog.deploy(unique, FunctionSpec(image="my/model:1"))
    site.deployer.look()
    await until(lambda: site.problem(unique), "it says why")
    await site.store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    site.deployer.look()
    await until(lambda: site.ready(unique), "the function is ready")
    assert site.pool.functions[unique].blocked() is None
    assert site.pool.functions[unique].function.revision == 2


async def test_a_worse_revision_leaves_the_one_before_it_at_work(site: Site, unique: str) -> None:
    good = await site.store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    site.deployer.look()
    await until(lambda: site.ready(unique), "the function is ready")
    await site.store.catalog.deploy(unique, FunctionSpec(image="my/model:1"))
    site.deployer.look()
    await until(lambda: site.problem(unique), "it says why")
    assert site.pool.functions[unique].function == good
    assert site.pool.functions[unique].blocked() is None


async def test_one_that_cannot_be_prepared_holds_up_no_other(site: Site, unique: str) -> None:
    await site.store.catalog.deploy(f"{unique}-a", FunctionSpec(image="my/model:1"))
    await site.store.catalog.deploy(f"{unique}-b", FunctionSpec(command=("server",)))
    site.deployer.look()
    await until(lambda: site.ready(f"{unique}-b"), "the other is ready")


async def test_a_deleted_function_leaves_the_pool(site: Site, unique: str) -> None:
    await site.store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    site.deployer.look()
    await until(lambda: site.ready(unique), "the function is ready")
    await site.store.catalog.delete(unique)
    site.deployer.look()

    async def gone() -> bool:
        return unique not in site.pool.functions

    await until(gone, "the function is gone")


async def test_what_was_there_before_sleeps_until_it_is_asked_for(site: Site) -> None:
    assert "before" not in site.pool.functions
    pool = site.pool.find("before")
    assert pool is not None
    assert pool.prepared
    assert site.pool.find("before") is pool, "it is awake now"


async def test_what_has_nothing_and_lacks_nothing_is_laid_down(site: Site) -> None:
    pool = site.pool.find("before")
    assert pool is not None
    pool.warm = 1
    assert not site.pool.lay_down("before")
    pool.warm = 0
    assert site.pool.lay_down("before")
    assert "before" not in site.pool.functions
    again = site.pool.find("before")
    assert again is not None
    assert again.function == pool.function


async def test_a_version_runs_from_a_copy_and_one_whose_code_is_gone_says_so(
    site: Site, unique: str, tmp_path: Path
) -> None:
    (folder := tmp_path / "model").mkdir()
    (folder / "app.py").write_text("def handler(event): return event\n")
    code = await asyncio.to_thread(folder_digest, folder)
    await site.store.catalog.deploy(unique, FunctionSpec(path=str(folder)), code=code)
    await site.store.versions.publish(unique)
    site.deployer.look()
    await until(lambda: site.ready(f"{unique}@1"), "the version is ready")
    await asyncio.to_thread((folder / "app.py").write_text, "def handler(event): return None\n")
    await site.store.versions.publish(unique, number=2)
    site.deployer.look()
    await until(lambda: site.ready(f"{unique}@2"), "the copy is there already")
    paths = {site.pool.functions[f"{unique}@{number}"].function.spec.path for number in (1, 2)}
    assert paths == {str(tmp_path / "code" / code)}
    await site.store.catalog.deploy(unique, FunctionSpec(path=str(folder), timeout=9), code="another")
    await site.store.versions.publish(unique)
    site.deployer.look()
    problem = await until(lambda: site.problem(f"{unique}@3"), "it cannot be prepared")
    assert f"deploy {unique} again, and publish that" in str(problem)
    assert site.pool.functions[f"{unique}@1"].prepared
