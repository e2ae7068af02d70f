"""The same for many: bounded, in order, with a progress bar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sized
from typing import Any, TypeVar

from penstock.client.bar import Bar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def each(
    call: Callable[[Item], Awaitable[Result]],
    items: Iterable[Item],
    *,
    concurrency: int,
    progress: bool | None,
    title: str,
    return_exceptions: bool,
) -> list[Any]:
    """The result of each item, in their order. Items are taken one by one as there is room: an iterator may make
    them as it goes. The first error ends it, or stands in the place of its result."""
    if concurrency < 1:
        raise ValueError(f"concurrency {concurrency} lets no call through; give 1 or more")
    results: list[Any] = []
    waiting = enumerate(items)
    with Bar(title, len(items) if isinstance(items, Sized) else None, shown=progress) as bar:

        async def work() -> None:
            for number, item in waiting:
                results.append(None)
                try:
                    results[number] = await call(item)
                except Exception as error:
                    if not return_exceptions:
                        raise
                    results[number] = error
                bar.advance()

        workers = [asyncio.create_task(work(), name=f"map {title}") for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return results
