"""The GPUs of this machine: as NVML shows them, or as the settings list them. It never decides who gets a card.

NVML's calls block, and with a sick card or driver they may not return. So one thread makes them all; who reads
waits for it for the timeout at most, and until it is free again later readers are told at once how long NVML has
been silent. It is a daemon thread and none of an executor: those are joined at exit, and a silent NVML would keep
the process from stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

import pynvml

from penstock import clock
from penstock.fc.cards import canonical_type
from penstock.settings import GpuSettings, WorkersSettings
from workers.cards import Card, CardSource, guess_type

log = logging.getLogger(__name__)

_AGAIN = 60.0
"""Seconds between two nvmlInit while cards are missing; one costs seconds on a machine with many cards."""
_NO_FIGURE = (
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_NoPermission,
    pynvml.NVMLError_NotFound,
    pynvml.NVMLError_NoData,
)
"""Of a single figure they say that it is not to be had; the card itself is well."""
_ADVICE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver: libnvidia-ml.so.1 cannot be loaded",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded; nvidia-smi says more",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated and not loaded anew; restart",
}


def inventory(settings: WorkersSettings) -> CardSource:
    """The cards that the settings list, or those that NVML finds if they list none."""
    if settings.gpus is not None:
        return StaticInventory(settings.gpus)
    return Inventory(timeout=settings.gpu_timeout)


class StaticInventory:
    """The cards of the settings, for a machine whose driver has no NVML. What they do is unknown."""

    def __init__(self, gpus: Iterable[GpuSettings]) -> None:
        self._cards = tuple(map(_listed, gpus))
        self.reason = "" if self._cards else "the setting workers.gpus lists none"

    async def read(self) -> tuple[Card, ...]:
        return self._cards

    def close(self) -> None:
        """There is nothing to end."""


class Inventory:
    """The cards that NVML finds."""

    def __init__(self, *, timeout: float = 5.0) -> None:
        """`timeout`: seconds after which NVML counts as silent."""
        self.reason = "NVML has not been asked yet"
        self._timeout = timeout
        self._nvml = _Nvml()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._asked: asyncio.Future[_Answer] | None = None
        self._asked_at = 0.0
        self._cards: tuple[Card, ...] = ()

    async def read(self) -> tuple[Card, ...]:
        asked = self._ask()
        patience = self._asked_at + self._timeout - clock.monotonic()
        if patience > 0:
            await asyncio.wait([asked], timeout=patience)
        if asked.done():
            answer = asked.result()
            self._show(answer.cards, answer.reason)
        else:
            silence = f"NVML has not answered for {clock.monotonic() - self._asked_at:.1f} s"
            self._show(tuple(card.unusable(silence, silent=True) for card in self._cards), silence)
        return self._cards

    def close(self) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _ask(self) -> asyncio.Future[_Answer]:
        """The answer under way, or a new one: readers share it, and none queues behind a silent NVML."""
        if self._asked is None or self._asked.done():
            loop = asyncio.get_running_loop()
            self._asked, self._asked_at = loop.create_future(), clock.monotonic()
            self._jobs.put(partial(_answer, self._nvml, loop, self._asked))
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._jobs, self._nvml), name="nvml", daemon=True)
            self._thread.start()
        return self._asked

    def _show(self, cards: tuple[Card, ...], reason: str) -> None:
        """Remembers what was read; what changed for the worse or the better is logged once."""
        before = {card.uuid: card.problem for card in self._cards}
        for card in cards:
            if card.problem is not None and before.get(card.uuid) is None:
                log.warning("GPU %s (%s) must not be used: %s", card.uuid, card.name, card.problem)
            elif card.problem is None and before.get(card.uuid) is not None:
                log.info("GPU %s (%s) may be used again", card.uuid, card.name)
        self._cards, self.reason = cards, reason


@dataclass(frozen=True, kw_only=True)
class _Answer:
    cards: tuple[Card, ...]
    reason: str


class _Nvml:
    """NVML, for one thread. It remembers every card that it has seen."""

    def __init__(self) -> None:
        self._open = False
        self._complete = False
        """Every card that was ever seen answered the last time."""
        self._next_try = float("-inf")
        self._known: dict[str, Card] = {}
        self._reason = ""

    def read(self) -> _Answer:
        found: dict[str, Card] = {}
        broken: dict[str, str] = {}
        try:
            if not self._complete and clock.monotonic() >= self._next_try:
                self._reopen()
            if self._open:
                found, broken, self._reason = _find()
        except pynvml.NVMLError as error:
            self.close()
            self._reason = _ADVICE.get(error.value, f"NVML: {error}")
        absent = self._reason or "NVML no longer lists it"
        known = {uuid: Card(uuid=uuid, name="", memory=0) for uuid in broken} | self._known
        lost = {uuid: card.unusable(broken.get(uuid, absent)) for uuid, card in known.items() if uuid not in found}
        self._known = known | lost | found
        self._complete = self._open and not self._reason and not lost
        return _Answer(cards=tuple(self._known.values()), reason=self._reason)

    def close(self) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _reopen(self) -> None:
        """NVML looks for cards in nvmlInit alone, so one that came back is found only by another nvmlInit."""
        self._next_try = clock.monotonic() + _AGAIN
        self.close()
        pynvml.nvmlInit()
        self._open = True


def _find() -> tuple[dict[str, Card], dict[str, str], str]:
    """The cards that answer; of those that do not, but say who they are, the error; and why one does not even
    say that, if there is one. Raises NVMLError if none can be found at all."""
    found, broken, reason = {}, {}, ""
    count = pynvml.nvmlDeviceGetCount()
    for index in range(count):
        uuid = None
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
            found[uuid] = _look(handle, uuid)
        except pynvml.NVMLError_NoPermission:
            continue  # another container's
        except pynvml.NVMLError as error:
            if uuid is None:
                reason = f"GPU {index + 1} of {count}: {error}"
            else:
                broken[uuid] = str(error)
    return found, broken, reason if count else "the NVIDIA driver finds no GPU"


def _look(handle: Any, uuid: str) -> Card:
    """Raises NVMLError if the card cannot be used."""
    name, memory = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
    rates = _figure(pynvml.nvmlDeviceGetUtilizationRates, handle)
    encoder = _figure(pynvml.nvmlDeviceGetEncoderUtilization, handle)
    decoder = _figure(pynvml.nvmlDeviceGetDecoderUtilization, handle)
    return Card(
        uuid=uuid,
        name=name,
        type=guess_type(name, memory.total),
        memory=memory.total,
        free=memory.free,
        sm=rates and rates.gpu / 100,
        encoder=encoder and encoder[0] / 100,
        decoder=decoder and decoder[0] / 100,
        processes=_processes(handle),
        problem=_bad_memory(handle),
    )


def _figure(ask: Callable[..., Any], *args: Any) -> Any:
    """None where this card, driver or container has no such figure; any other error is the card's."""
    try:
        return ask(*args)
    except _NO_FIGURE:
        return None


def _processes(handle: Any) -> dict[int, int | None]:
    """Needs a driver of 510 or later. A process in several slices of a card (MIG) is named once for each."""
    used: dict[int, int | None] = {}
    for process in _figure(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ():
        before, more = used.get(process.pid, 0), process.usedGpuMemory
        used[process.pid] = None if before is None or more is None else before + more
    return used


def _bad_memory(handle: Any) -> str | None:
    """What the card's error correction could not mend; None: nothing, or it has none."""
    kind, since_driver = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    if errors := _figure(pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, since_driver):
        return f"{errors} uncorrectable memory errors (ECC) since the driver was loaded; reset the card"
    rows = _figure(pynvml.nvmlDeviceGetRemappedRows, handle)
    return "a bad row of its memory could not be replaced (ECC)" if rows and rows[3] else None


def _listed(gpu: GpuSettings) -> Card:
    type = canonical_type(gpu.type) if gpu.type else guess_type(gpu.name, gpu.memory)
    return Card(uuid=gpu.uuid, name=gpu.name, type=type, memory=gpu.memory)


def _serve(jobs: SimpleQueue[Callable[[], None] | None], nvml: _Nvml) -> None:
    """The thread."""
    while (job := jobs.get()) is not None:
        job()
    nvml.close()


def _answer(nvml: _Nvml, loop: asyncio.AbstractEventLoop, asked: asyncio.Future[_Answer]) -> None:
    """Asks NVML and tells the loop, if that has not ended while NVML was silent."""
    try:
        tell = partial(asked.set_result, nvml.read())
    except Exception as error:
        tell = partial(asked.set_exception, error)
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
