"""Instances as local processes: the embedded default, for code that its owner trusts.

A process sees what its user sees; there is no isolation beyond that. It listens on loopback only, and dies
with the workers process: each one asks the kernel for a SIGKILL when its parent ends, and what a crash leaves
behind all the same (grandchildren) is found by its environment and killed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO

import psutil

from penstock.function import Function, FunctionSpec
from penstock.secretfiles import SecretFiles, as_text
from workers.contract import runtime_environment, secret_environment
from workers.engines import Endpoint, EngineError, Found, Order, Ran
from workers.engines.environments import Environments
from workers.engines.processes import Process, Talk, spawn
from workers.engines.secrets import read
from workers.engines.sockets import one_listens
from workers.engines.zygotes import Zygote, Zygotes

log = logging.getLogger(__name__)

_LOG_LIMIT = 64 * 1024
_TAIL = 4096
_MEMORY_POLL = 1.0
_REMEMBERED = 64
"""Ended instances whose log can still be asked for."""


class _Instance:
    """One that runs: its process, its log, and why it was killed."""

    def __init__(self, process: Process, spec: FunctionSpec) -> None:
        self.process = process
        self.memory = spec.resources.memory
        self.was_handed_its_port = spec.path is not None
        self.log = _Ring()
        self.killed_for: str | None = None


class _Ring:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        while self._size - len(self._parts[0]) >= _LOG_LIMIT:
            self._size -= len(self._parts.popleft())

    def tail(self) -> str:
        return b"".join(self._parts)[-_TAIL:].decode(errors="replace")


def _new_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


class ProcessEngine:
    uses_images = False

    def __init__(
        self,
        *,
        data_dir: Path,
        deployment: str,
        fork_servers: int = 4,
        listener: Callable[[], socket.socket] = _new_listener,
        secrets: Path | None = None,
    ) -> None:
        """`fork_servers`: how many are kept while none of their instances runs; 0: every instance starts anew.
        `listener`: makes the socket that an instance's runtime is handed; it is closed here afterwards.
        `secrets`: folder of those that specs name; None: `secrets` in `data_dir`."""
        self._deployment = deployment
        self._listener = listener
        self._secrets = SecretFiles(secrets or data_dir / "secrets")
        self._environments = Environments(data_dir / "environments")
        self._zygotes = Zygotes(deployment, keep=fork_servers) if fork_servers else None
        self._running: dict[str, _Instance] = {}
        self._ended: dict[str, tuple[_Ring, int]] = {}
        """Log and exit code of the latest that ended."""
        self._watch: asyncio.Task[None] | None = None
        self._hear: Callable[[str, bytes, float], None] = lambda instance, output, at: None

    def hosts(self) -> Collection[str]:
        return ("127.0.0.1",)

    def host_for(self, function: Function) -> str:
        return "127.0.0.1"

    def listen(self, hear: Callable[[str, bytes, float], None]) -> None:
        self._hear = hear

    async def open(self) -> None:
        await asyncio.to_thread(self._kill_leftovers)
        self._watch = asyncio.create_task(self._bound_memory(), name="memory of processes")

    async def prepare(self, function: Function) -> None:  # no images here
        spec = function.spec
        if spec.image is not None:
            raise EngineError("image needs containers: start with --engine docker, or give path or command")
        read(self._secrets, spec)
        if spec.path is not None:
            if not Path(spec.path).is_dir():
                raise EngineError(f"path {spec.path} is not a folder on the machine of the workers")
            await self._environments.make(Path(spec.path))
            if self._zygotes is not None and self._zygotes.has_room and _may_fork(spec):
                await self._zygote(self._zygotes, spec, spec.path)

    async def start(self, order: Order) -> Endpoint:
        spec = order.function.spec
        if spec.path is not None:
            port, process = await self._serve(order, spec.path)
        else:
            assert spec.command is not None, "prepare refuses images"
            port = _free_port()
            process = spawn(spec.command, self._environment(order, port), None, [])
        self._follow(order.instance, _Instance(process, spec))
        return Endpoint("127.0.0.1", port)

    async def run(self, order: Order, event: bytes, *, limit: int) -> Ran:
        command = order.function.spec.command
        assert command is not None, "prepare refuses images"
        reading, writing = os.pipe()
        answer = os.fdopen(reading, "rb")
        try:
            with await asyncio.to_thread(_file, event) as given:
                talk = Talk(event=given.fileno(), answer=writing)
                process = spawn(command, self._environment(order, 0), None, [], talk)
        except EngineError:
            answer.close()
            raise
        finally:
            os.close(writing)
        running = _Instance(process, order.function.spec)
        self._follow(order.instance, running)
        output = await _drain(answer, limit, running.log.write)
        code = None if len(output) > limit else await asyncio.shield(process.ended)
        return Ran(exit_code=code, output=output)

    async def _serve(self, order: Order, folder: str) -> tuple[int, Process]:
        """Our own server, on a socket that listens already."""
        spec = order.function.spec
        with self._listener() as listener:
            port: int = listener.getsockname()[1]
            environment = self._environment(order, port)
            if self._zygotes is not None and _may_fork(spec):
                zygote = await self._zygote(self._zygotes, spec, folder)
                return port, await zygote.fork(environment, folder, listener.fileno())
            command = (str(self._environments.python(Path(folder))), "-P", "-m", "runtime")
            handed = listener.fileno()
            return port, spawn(command, environment | {"PENSTOCK_LISTEN_FD": str(handed)}, folder, [handed])

    async def _zygote(self, zygotes: Zygotes, spec: FunctionSpec, folder: str) -> Zygote:
        python = self._environments.python(Path(folder))
        # What is preloaded may read the environment as it is loaded; our own server does not.
        return await zygotes.get(python, spec.preload, spec.env if spec.preload else {})

    def standby(self, function: Function) -> str | None:
        return None  # fork servers are quicker

    def standbys(self) -> Mapping[str, int]:
        return {}

    def forget(self, name: str) -> None:
        """Nothing is kept of it but its environment, which others may share."""

    async def stop(self, instance: str, *, grace: float) -> None:
        running = self._running.get(instance)
        if running is None:
            return
        process = running.process
        process.signal(signal.SIGTERM)
        await asyncio.wait([process.ended], timeout=grace)
        process.signal(signal.SIGKILL)  # the whole group: a child may have outlived its parent
        await asyncio.wait([process.ended])

    async def exited(self, instance: str) -> int | None:
        running = self._running.get(instance)
        if running is None:
            return self._ended[instance][1] if instance in self._ended else None
        return await asyncio.shield(running.process.ended)

    async def adoptable(self) -> Sequence[Found]:
        return ()

    async def log_tail(self, instance: str) -> str:
        running = self._running.get(instance)
        if running is not None:
            return running.log.tail()
        return self._ended[instance][0].tail() if instance in self._ended else ""

    async def owns(self, instance: str, endpoint: Endpoint) -> bool:
        running = self._running.get(instance)
        if running is None or running.was_handed_its_port:
            return running is not None
        return await asyncio.to_thread(_listens, running.process.pid, endpoint.port)

    async def close(self, *, keep: bool) -> None:
        # `keep` cannot be granted: processes die with this one.
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(self.stop(instance, grace=10.0) for instance in list(self._running)))
        if self._zygotes is not None:
            self._zygotes.close()

    def _environment(self, order: Order, port: int) -> dict[str, str]:
        spec = order.function.spec
        # Settings of Penstock itself hold secrets; a function gets none of them.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        return inherited | {
            "PYTHONUNBUFFERED": "1",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "FC_SERVER_PORT": str(port),
            "PENSTOCK_DEPLOYMENT": self._deployment,
            "PENSTOCK_INSTANCE": order.instance,
            **runtime_environment(order.function.name, spec, spec.path or ""),
            **spec.env,
            **self._secrets_of(spec),
            # By its UUID: an index changes when a card falls off the bus.
            **({"CUDA_VISIBLE_DEVICES": order.gpu, "NVIDIA_VISIBLE_DEVICES": order.gpu} if order.gpu else {}),
            **order.env,
        }

    def _secrets_of(self, spec: FunctionSpec) -> Mapping[str, str]:
        """Our own runtime reads the files; any other server finds what is text in its environment, too."""
        values = read(self._secrets, spec)
        texts = {} if spec.path is not None else {name: as_text(value) for name, value in values.items()}
        known = {name: text for name, text in texts.items() if text is not None}
        return {**secret_environment(spec, str(self._secrets.folder)), **known}

    def _follow(self, instance: str, running: _Instance) -> None:
        def hear(data: bytes) -> None:
            running.log.write(data)
            self._hear(instance, data, time.time())

        def end(ended: asyncio.Future[int]) -> None:
            self._running.pop(instance, None)
            if running.killed_for:
                running.log.write(running.killed_for.encode())
            self._remember(instance, running.log, ended.result())

        self._running[instance] = running
        self._hear(instance, b"", time.time())
        running.process.ended.add_done_callback(end)
        running.process.follow(hear)

    def _remember(self, instance: str, ring: _Ring, code: int) -> None:
        self._ended[instance] = (ring, code)
        while len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    async def _bound_memory(self) -> None:
        """Kills what uses more than its spec says; a process has no limit of its own."""
        while True:
            await asyncio.sleep(_MEMORY_POLL)
            bounded = list(self._running.items())
            sizes = await asyncio.to_thread(_residents, [running.process.pid for _, running in bounded])
            for (instance, running), size in zip(bounded, sizes, strict=True):
                if size > running.memory and running.killed_for is None:
                    running.killed_for = f"\nkilled: used {size >> 20} MiB of {running.memory >> 20} MiB\n"
                    log.warning("%s used %d MiB of %d MiB: killed", instance, size >> 20, running.memory >> 20)
                    running.process.signal(signal.SIGKILL)

    def _kill_leftovers(self) -> None:
        marker = f"PENSTOCK_DEPLOYMENT={self._deployment}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes().split(b"\0")
                if marker in environment and any(v.startswith(b"PENSTOCK_INSTANCE=") for v in environment):
                    log.warning("killing process %s, left by an earlier run", folder.name)
                    os.kill(int(folder.name), signal.SIGKILL)


def _file(content: bytes) -> BinaryIO:
    """It is in memory, and at its beginning."""
    file = os.fdopen(os.memfd_create("event"), "w+b")
    file.write(content)
    file.seek(0)
    return file


async def _drain(pipe: IO[bytes], limit: int, seen: Callable[[bytes], None]) -> bytes:
    """What is written to a pipe until it is closed, or is more than `limit` bytes. `seen` hears each piece."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    output = bytearray()
    try:
        while len(output) <= limit and (piece := await reader.read(_LOG_LIMIT)):
            output += piece
            seen(piece)
    finally:
        transport.close()
    return bytes(output)


def _may_fork(spec: FunctionSpec) -> bool:
    """False if its environment speaks to the interpreter or the linker, which read it only as they start."""
    return not any(name.startswith(("PYTHON", "LD_", "MALLOC_", "GLIBC_")) for name in spec.env)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _residents(pids: Sequence[int]) -> list[int]:
    return [_resident(pid) for pid in pids]


def _resident(pid: int) -> int:
    total = 0
    for process in _family(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _listens(pid: int, port: int) -> bool:
    # Most servers listen themselves; to find their children all processes of the machine are looked at.
    return one_listens([pid], port) or one_listens((process.pid for process in _family(pid)), port)
