"""GPUs without a GPU: the real bindings against a C library of ours that reads the state of its cards from a file.

`nvidia-ml-py` loads `libnvidia-ml.so.1` by that name, once per process. Two clean ways bring ours in its place:
- in this process, `load()` loads our file by its path first. The dynamic loader knows a loaded library by its
  soname, and gives ours when the bindings ask for theirs. No environment, no change to the bindings.
- a process that a test starts gets `SimulatedNvml.env`, where LD_LIBRARY_PATH goes before the system's libraries.

Whatever it shows says "Simulated GPU".
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

LIBRARY = "libnvidia-ml.so.1"
SOURCE = Path(__file__).with_name("libnvidia_ml.c")
GIB = 2**30


def build(folder: Path) -> Path:
    """The library, compiled into the folder under the name that the bindings look for."""
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    command = ["gcc", *flags, f"-Wl,-soname,{LIBRARY}", "-o", str(folder / LIBRARY), str(SOURCE)]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    return folder / LIBRARY


@dataclass(frozen=True, kw_only=True)
class SimulatedCard:
    uuid: str
    name: str = "Simulated GPU T4"
    memory: int = 15 * GIB
    """Bytes in all; what a T4 with 16 GB shows."""
    used: int = 0
    """Bytes."""
    sm: int = 0
    """Percent, as NVML counts."""
    encoder: int = 0
    decoder: int = 0
    processes: tuple[tuple[int, int | None], ...] = ()
    """Process id and its bytes, None: NVML does not know. The same id again: another slice of the card (MIG)."""
    ecc: int = 0
    """Errors in memory that could not be corrected."""
    failed_row: bool = False
    fails: dict[str, int] = field(default_factory=dict)
    """Call → the error it returns: handle, uuid, name, memory, sm, encoder, decoder, processes, ecc, rows, all."""

    def lines(self) -> list[str]:
        return [
            f"card {self.uuid}",
            f"name {self.name}",
            f"memory {self.memory} {self.used}",
            f"sm {self.sm}",
            f"encoder {self.encoder}",
            f"decoder {self.decoder}",
            *(f"process {pid} {'-' if used is None else used}" for pid, used in self.processes),
            f"ecc {self.ecc}",
            f"rows {int(self.failed_row)}",
            *(f"fail {call} {code}" for call, code in self.fails.items()),
        ]


class SimulatedNvml:
    """The machine that the library shows. Every change is there at its next call."""

    def __init__(self, library: Path, state: Path) -> None:
        self._library = library
        self._state = state
        self._cards: dict[str, SimulatedCard] = {}
        self._fails: dict[str, int] = {}
        self._hang = 0.0
        self.env = {"LD_LIBRARY_PATH": str(library.parent), "SIMULATED_NVML": str(state)}
        """For a process that a test starts."""

    def load(self) -> None:
        """Brings it into this process, for good; the state file stays the same one for all tests."""
        os.environ.update(SIMULATED_NVML=self.env["SIMULATED_NVML"])
        ours = ctypes.CDLL(str(self._library))
        assert ctypes.CDLL(LIBRARY)._handle == ours._handle, "this process has loaded another NVML before"

    def plug(self, uuid: str, **facts: object) -> None:
        """A card joins. NVML sees it after its next init."""
        self._cards[uuid] = SimulatedCard(uuid=uuid, **facts)  # type: ignore[arg-type]
        self._write()

    def unplug(self, uuid: str) -> None:
        """A card leaves: it is lost until the next init, which no longer sees it."""
        del self._cards[uuid]
        self._write()

    def change(self, uuid: str, **facts: object) -> None:
        """The card does something else, such as `sm=50`, or fails, as in `fails={"all": 15}`."""
        self._cards[uuid] = replace(self._cards[uuid], **facts)  # type: ignore[arg-type]
        self._write()

    def fail(self, **fails: int) -> None:
        """Calls about the machine return these errors from now on: init, count, all; none given: they succeed."""
        self._fails = fails
        self._write()

    def hang(self, seconds: float) -> None:
        """Every call takes that long from now on, also one under way; 0 ends it."""
        self._hang = seconds
        self._write()

    @property
    def hangs(self) -> bool:
        """True while a call does not return."""
        return self._state.with_name(f"{self._state.name}.hanging").exists()

    def unload_driver(self) -> None:
        self._state.unlink(missing_ok=True)

    def reset(self) -> None:
        """A machine whose driver is loaded, without a card."""
        self._cards, self._fails, self._hang = {}, {}, 0.0
        self._write()

    def _write(self) -> None:
        lines = [f"hang {self._hang}", *(f"fail {call} {code}" for call, code in self._fails.items())]
        lines += [line for card in self._cards.values() for line in card.lines()]
        new = self._state.with_name("new")
        new.write_text("\n".join(lines) + "\n")
        new.replace(self._state)  # the library never reads half of it
