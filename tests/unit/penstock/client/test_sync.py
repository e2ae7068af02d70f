"""The face without an event loop: from plain code, from within a running loop, from several threads."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock import client as api
from penstock.client import AsyncClient, AsyncJob, Client, Job
from tests.unit.gateway.conftest import House, answer


@pytest.fixture
def url(house: House) -> str:
    return str(house.client.make_url("/"))


async def serve(house: House, count: int) -> None:
    for _ in range(count):
        run = await house.take()
        await house.finish(run, answer(run.body))


async def test_every_call_without_a_loop(house: House, url: str) -> None:
    def use() -> None:
        with Client(url, retries=0) as client:
            assert client.invoke(house.function, "one").text == "one"
            job = client.submit(house.function, "two")
            assert (job.function, job.status()["id"]) == (house.function, job.id)
            assert job.result(timeout=10).text == "two"
            assert [event.kind for event in job.events() if event.id] == ["queued", "running", "succeeded"]
            assert list(job.logs()) == []
            assert list(client.stream(house.function, "three")) == [b"three"]
            assert "".join(client.stream_text(house.function, "vier €")) == "vier €"
            found = client.map(house.function, ["a", "b"], progress=False)
            assert [one.text for one in found] == ["a", "b"]
            assert client.job(house.function, job.id).status()["state"] == "succeeded"
            assert [record["id"] for record in client.jobs(house.function)] == [job.id]
            assert [one["name"] for one in client.functions()] == [house.function]
            assert client.instances(house.function)["instances"] == []
            assert client.get("/v1/functions")["functions"]
            with pytest.raises(api.NotFound):
                client.change("DELETE", "/v1/functions/nobody")
            with pytest.raises(api.NotFound):
                list(client.logs("nobody", "i-1"))
            again = job.retry()
            assert again.id != job.id
            assert again.cancel()["state"] == "cancelled"

    serving = asyncio.create_task(serve(house, 6))
    await asyncio.to_thread(use)
    await serving


async def test_it_works_where_a_loop_runs_already(house: House, url: str) -> None:
    # As in a notebook. In a process of its own, since it does block that loop.
    program = f"""
import asyncio, penstock

async def cell():
    with penstock.Client({url!r}) as client:
        print(client.invoke({house.function!r}, "from a cell").text)
        print([event.kind for event in client.submit({house.function!r}).events() if event.id])

asyncio.run(cell())
"""
    serving = asyncio.create_task(serve(house, 2))
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await ran.communicate()
    assert (ran.returncode, out.decode(), err.decode()) == (
        0,
        "from a cell\n['queued', 'running', 'succeeded']\n",
        "",
    )
    await serving


async def test_threads_share_one(house: House, url: str) -> None:
    def use() -> list[str]:
        with Client(url) as client, ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda n: client.invoke(house.function, str(n)).text, range(40)))

    serving = asyncio.create_task(serve(house, 40))
    assert await asyncio.to_thread(use) == [str(number) for number in range(40)]
    await serving


async def test_an_iterator_that_is_left_lets_go_of_its_connection(house: House, url: str) -> None:
    def use() -> None:
        with Client(url) as client:
            for event in client.submit(house.function).events():
                assert event.kind == "queued"
                break

    await asyncio.to_thread(use)
    assert await house.queued() == 1


def clients() -> int:
    return sum(thread.name == "penstock client" for thread in threading.enumerate())


def test_a_closed_one_says_so_and_its_thread_is_gone() -> None:
    before = clients()
    client = Client("http://127.0.0.1:1")
    assert clients() == before + 1
    client.close()
    client.close()
    assert clients() == before
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.functions()
    forgotten = Client("http://127.0.0.1:1")
    del forgotten
    gc.collect()
    assert clients() == before


def test_the_end_of_the_process_closes_it_without_a_word() -> None:
    program = """
import penstock
client = penstock.Client("http://127.0.0.1:1", retries=0)
try:
    client.functions()
except penstock.client.Unreachable:
    print("no gateway")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "no gateway\n", "")


def test_importing_penstock_imports_no_client() -> None:
    program = "import sys, penstock; print([name for name in ('aiohttp', 'asyncio') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


@pytest.mark.parametrize(("sync", "of"), [(Client, AsyncClient), (Job, AsyncJob)])
def test_both_faces_have_the_same_methods_with_the_same_parameters(sync: type, of: type) -> None:
    inner = {"send", "failed", "submitted"}
    """Of the command line alone."""
    for name, method in inspect.getmembers(of, inspect.isfunction):
        if not name.startswith("_") and name not in inner:
            theirs = inspect.signature(getattr(sync, name)).parameters
            assert theirs == inspect.signature(method).parameters, name
