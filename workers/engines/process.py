"""Instances as local processes: the embedded default, for code that its owner trusts.

A process sees what its user sees; there is no isolation beyond that. It listens on loopback only, and dies
with the workers process: each one asks the kernel for a SIGKILL when its parent ends, and what a crash leaves
behind all the same (grandchildren) is found by its environment and killed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import psutil

from penstock.function import Function
from workers.contract import runtime_environment
from workers.engines import Endpoint, EngineError, Found, Order
from workers.engines.environments import Environments

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT = 64 * 1024
_TAIL = 4096
_MEMORY_POLL = 1.0
_REMEMBERED = 64
"""Ended instances whose log can still be asked for."""

_libc = ctypes.CDLL(None)


class _Process:
    """One running instance: its process group, its log, and how it ended."""

    def __init__(self, popen: subprocess.Popen[bytes], memory: int) -> None:
        self.popen = popen
        self.memory = memory
        self.log = _Ring()
        self.ended = asyncio.get_running_loop().create_future()
        self.killed_for: str | None = None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


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


class ProcessEngine:
    uses_images = False

    def __init__(self, *, data_dir: Path, deployment: str) -> None:
        self._deployment = deployment
        self._environments = Environments(data_dir / "environments")
        self._processes: dict[str, _Process] = {}
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

    async def prepare(self, function: Function) -> None:
        spec = function.spec
        if spec.image is not None:
            raise EngineError("image needs containers: start with --engine docker, or give path or command")
        if spec.path is not None:
            if not Path(spec.path).is_dir():
                raise EngineError(f"path {spec.path} is not a folder on the machine of the workers")
            await self._environments.make(Path(spec.path))

    async def start(self, order: Order) -> Endpoint:
        spec = order.function.spec
        with contextlib.ExitStack() as stack:
            if spec.path is not None:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
                port = listener.getsockname()[1]
                command: Sequence[str] = (str(self._environments.python(Path(spec.path))), "-P", "-m", "runtime")
                handed = [listener.fileno()]
                extra = {"PENSTOCK_LISTEN_FD": str(listener.fileno())}
            else:
                assert spec.command is not None, "prepare refuses images"
                port, command, handed, extra = _free_port(), spec.command, [], {}
            environment = self._environment(order, port) | extra
            process = self._spawn(order, command, environment, handed)
        self._processes[order.instance] = process
        self._follow(order.instance, process)
        return Endpoint("127.0.0.1", port)

    async def stop(self, instance: str, *, grace: float) -> None:
        process = self._processes.get(instance)
        if process is None:
            return
        process.signal(signal.SIGTERM)
        await asyncio.wait([process.ended], timeout=grace)
        process.signal(signal.SIGKILL)  # the whole group: a child may have outlived its parent
        await asyncio.wait([process.ended])

    async def exited(self, instance: str) -> int | None:
        process = self._processes.get(instance)
        if process is None:
            return self._ended[instance][1] if instance in self._ended else None
        code: int = await asyncio.shield(process.ended)
        return code

    async def adoptable(self) -> Sequence[Found]:
        return ()

    async def log_tail(self, instance: str) -> str:
        process = self._processes.get(instance)
        if process is not None:
            return process.log.tail()
        return self._ended[instance][0].tail() if instance in self._ended else ""

    async def owns(self, instance: str, endpoint: Endpoint) -> bool:
        process = self._processes.get(instance)
        return process is not None and await asyncio.to_thread(_listens, process.popen.pid, endpoint.port)

    async def close(self, *, keep: bool) -> None:
        # `keep` cannot be granted: processes die with this one.
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(self.stop(instance, grace=10.0) for instance in list(self._processes)))

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
            # By its UUID: an index changes when a card falls off the bus.
            **({"CUDA_VISIBLE_DEVICES": order.gpu, "NVIDIA_VISIBLE_DEVICES": order.gpu} if order.gpu else {}),
        }

    def _spawn(
        self, order: Order, command: Sequence[str], environment: dict[str, str], handed: Sequence[int]
    ) -> _Process:
        parent = os.getpid()

        def in_child() -> None:
            # In the parent's thread that forks, which is the one that lives as long as the process.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        folder = order.function.spec.path
        try:
            popen = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=handed,
                process_group=0,  # its own group, in our session: killed as one, and dies with the session
                preexec_fn=in_child,
            )
        except OSError as error:
            raise EngineError(f"cannot run {command[0]}: {error.strerror}") from error
        return _Process(popen, order.function.spec.resources.memory)

    def _follow(self, instance: str, process: _Process) -> None:
        """Reads what it writes and notices its end, without a thread."""
        loop = asyncio.get_running_loop()
        assert process.popen.stdout is not None
        output = process.popen.stdout.fileno()
        os.set_blocking(output, False)
        pidfd = os.pidfd_open(process.popen.pid)

        def read() -> None:
            try:
                data = os.read(output, 65536)
            except BlockingIOError:
                return
            if data:
                process.log.write(data)
                self._hear(instance, data, time.time())
            else:
                loop.remove_reader(output)

        def end() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            with contextlib.suppress(OSError):
                while data := os.read(output, 65536):
                    process.log.write(data)
                    self._hear(instance, data, time.time())
            loop.remove_reader(output)
            if process.popen.stdout is not None:
                process.popen.stdout.close()
            code = process.popen.wait()
            process.signal(signal.SIGKILL)  # what is left of its group
            self._processes.pop(instance, None)
            if process.killed_for:
                process.log.write(process.killed_for.encode())
            self._remember(instance, process.log, code)
            process.ended.set_result(code)

        self._hear(instance, b"", time.time())
        loop.add_reader(output, read)
        loop.add_reader(pidfd, end)

    def _remember(self, instance: str, ring: _Ring, code: int) -> None:
        self._ended[instance] = (ring, code)
        while len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    async def _bound_memory(self) -> None:
        """Kills what uses more than its spec says; a process has no limit of its own."""
        while True:
            await asyncio.sleep(_MEMORY_POLL)
            bounded = list(self._processes.items())
            sizes = await asyncio.to_thread(_residents, [process.popen.pid for _, process in bounded])
            for (instance, process), size in zip(bounded, sizes, strict=True):
                if size > process.memory and process.killed_for is None:
                    process.killed_for = f"\nkilled: used {size >> 20} MiB of {process.memory >> 20} MiB\n"
                    log.warning("%s used %d MiB of %d MiB: killed", instance, size >> 20, process.memory >> 20)
                    process.signal(signal.SIGKILL)

    def _kill_leftovers(self) -> None:
        marker = f"PENSTOCK_DEPLOYMENT={self._deployment}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes().split(b"\0")
                if marker in environment and any(v.startswith(b"PENSTOCK_INSTANCE=") for v in environment):
                    log.warning("killing process %s, left by an earlier run", folder.name)
                    os.kill(int(folder.name), signal.SIGKILL)


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
    for process in _family(pid):
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False
