"""Instances as containers of the Docker Engine, through the docker package, whose calls block: in threads.

Every container carries labels, so that whoever leads next finds what runs and adopts it. Containers are
hardened: no capabilities, no new privileges, bounded memory, CPU and processes, not root, a read-only root,
and a network on which they reach neither each other nor the world. A spec lifts what its image cannot bear.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.images import Image
from docker.models.networks import Network

from penstock import clock
from penstock.function import Function, FunctionSpec
from penstock.secretfiles import SecretFiles
from penstock.tasks import cancel
from workers.engines import Endpoint, EngineError, Found, Order, Ran, pins
from workers.engines.attached import talk
from workers.engines.body import SECRETS, allowed, body
from workers.engines.builder import LABEL as _LABEL
from workers.engines.builder import Builder, Built, Recipe
from workers.engines.secrets import archive, read
from workers.engines.standbys import Standbys, until_it_serves

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_TAIL = 4096
_REMEMBERED = 256
_AHEAD = 256
"""Lines of an instance's log that its reader may be ahead of the loop."""
_HEARD_WITHIN = 60.0
"""Seconds; a loop that has stopped hears nothing any more."""
_PAINT = re.compile(r"\x1b\[\d*m")


class Connection:
    """A client of the engine, whose blocking calls run in threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="docker")
        self._client: docker.DockerClient | None = None

    async def open(self) -> None:
        """Raises EngineError if no engine answers."""
        self._client = await self.run(docker.from_env)
        await self.run(self._client.ping)

    @property
    def client(self) -> docker.DockerClient:
        assert self._client is not None, "open() comes first"
        return self._client

    @property
    def is_open(self) -> bool:
        return self._client is not None

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        """Runs a blocking call. Whatever the engine says goes on as EngineError, in its own words."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        except BuildError as error:
            raise EngineError(f"image build failed: {error.msg}\n{_last_lines(error)}") from error
        except APIError as error:
            raise EngineError(f"Docker: {error.explanation or error}") from error
        except (DockerException, OSError, KeyError) as error:
            raise EngineError(f"Docker: {error}") from error

    def close(self) -> None:
        self._client = None
        self._threads.shutdown(wait=False, cancel_futures=True)


class DockerImages:
    """The engine's images, as the builder wants them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, image: str) -> str:
        return str((await self._connection.run(self._fetch, image)).id)

    async def named(self, function: Function, *, only_digests: bool) -> tuple[str, str]:
        """What a revision's image is by content, and its id here; fetched if its spec says so. Raises EngineError,
        also for a tag if there may be `only_digests`."""
        return await self._connection.run(self._named, function, only_digests)

    async def labels(self, tag: str) -> Mapping[str, str] | None:
        return await self._connection.run(self._labels, tag)

    async def python(self, image: str) -> str:
        return await self._connection.run(self._python, image)

    async def build(
        self, tag: str, context: bytes, *, arguments: Mapping[str, str], labels: Mapping[str, str], network: str
    ) -> None:
        await self._connection.run(self._build, tag, context, arguments, labels, network)

    async def retire(self, labels: Mapping[str, str], keep: Sequence[str], newest: int) -> None:
        """Removes the images with all of these labels that no container uses; not those with a tag in `keep`, nor
        the `newest` of the others."""
        await self._connection.run(self._retire, labels, keep, newest)

    # What follows runs in threads.

    def _fetch(self, image: str) -> Image:
        return self._here(image) or self._connection.client.images.pull(image)

    def _named(self, function: Function, only_digests: bool) -> tuple[str, str]:
        spec = function.spec
        assert spec.image is not None
        if function.pinned is not None:
            return function.pinned, str(self._again(spec.image, function.pinned).id)
        if only_digests and not pins.by_digest(spec.image):
            here = self._here(spec.image)
            raise EngineError(pins.refusal(spec.image, _digests(here) if here else ()))
        found = None if spec.pull == "always" else self._here(spec.image)
        if found is None:
            if spec.pull == "never":
                raise EngineError(f"image {spec.image} is not here, and its spec says pull: never")
            found = self._pull(spec.image)
        return pins.pinned(spec.image, str(found.id), _digests(found)), str(found.id)

    def _again(self, image: str, pin: str) -> Image:
        """What was fetched under this name at the deploy."""
        found = self._here(pin)
        if found is None and not pins.by_digest(pin):
            raise EngineError(pins.gone(image, pin))
        return found or self._pull(pin)

    def _here(self, image: str) -> Image | None:
        try:
            return self._connection.client.images.get(image)
        except ImageNotFound:
            return None

    def _pull(self, image: str) -> Image:
        try:
            return self._connection.client.images.pull(image)
        except ImageNotFound as error:
            why = f"its registry has none of that name, or wants a login: {error.explanation}"
        except APIError as error:
            why = str(error.explanation or error)
        raise EngineError(f"image {image} cannot be pulled: {why}")

    def _labels(self, tag: str) -> Mapping[str, str] | None:
        try:
            return self._connection.client.images.get(tag).labels
        except ImageNotFound:
            return None

    def _python(self, image: str) -> str:
        code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        # Not `run`, which leaves a container behind that could not be started.
        container = self._connection.client.containers.create(
            image, ["python3", "-c", code], entrypoint="", network_mode="none"
        )
        try:
            container.start()
            failed, said = container.wait()["StatusCode"], _text(container.logs()).strip()
        except APIError as error:
            failed, said = True, str(error.explanation)
        finally:
            container.remove(force=True, v=True)
        if failed:
            last = said.rpartition("\n")[2]
            raise EngineError(
                f"the base image {image} has no python3 with its venv module: give one that has both, such as "
                f"python:3.11-slim (--base, or the setting docker.base_image). {last}"
            )
        return said

    def _build(
        self, tag: str, context: bytes, arguments: Mapping[str, str], labels: Mapping[str, str], network: str
    ) -> None:
        self._connection.client.images.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=tag,
            buildargs=dict(arguments),
            labels=dict(labels),
            rm=True,
            forcerm=True,
            network_mode=network,
        )

    def _retire(self, labels: Mapping[str, str], keep: Sequence[str], newest: int) -> None:
        images = self._connection.client.images
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        found = [image for image in images.list(filters=filters) if not set(keep) & set(image.tags)]
        found.sort(key=lambda image: str(image.attrs["Created"]), reverse=True)
        for image in found[newest:]:
            if self._removed(str(image.id)):
                log.info("removed image %s of an old revision", image.tags)
                packages = self._labels(image.labels.get(f"{_LABEL}packages", "")) or {}
                if packages.get(f"{_LABEL}image") == "packages":
                    self._removed(str(images.get(image.labels[f"{_LABEL}packages"]).id))

    def _removed(self, image: str) -> bool:
        """False: a container or another image uses it, or it has another name, too. By id, since a name would be
        taken off in any case."""
        try:
            self._connection.client.images.remove(image)
        except ImageNotFound:
            return False
        except APIError as error:
            if error.status_code != 409:
                raise
            return False
        return True


class DockerEngine:
    uses_images = True

    def __init__(
        self,
        *,
        deployment: str,
        base_image: str,
        build_network: str | None = None,
        standbys: int = 8,
        standby_keep: float = 3600.0,
        secrets: Path = Path("/run/secrets"),
        volume_roots: Sequence[Path] | None = None,
        only_digests: bool = False,
    ) -> None:
        """`standbys`: at most so many containers that stand by, in all; each for `standby_keep` seconds.
        `secrets`: folder of those that specs name. `volume_roots`: below these are the folders that may be
        mounted; None: all but the system's own. `only_digests`: an image that is named by a tag is refused."""
        self._deployment = deployment
        self._secrets = SecretFiles(secrets)
        self._only_digests = only_digests
        self._roots = None if volume_roots is None else [PurePosixPath(root) for root in volume_roots]
        self._standbys = Standbys(self._stand_by, self._discard, cap=standbys, keep=standby_keep)
        self._standing_by: dict[str, Endpoint] = {}
        """Where each of them will serve."""
        self._ahead: set[str] = set()
        """Those that stand by, or are about to."""
        self._making: asyncio.Task[None] | None = None
        self._connection = Connection()
        self._thread = self._connection.run
        self._store = DockerImages(self._connection)
        self._builder = Builder(self._store, base_image=base_image, network=build_network)
        self._images: dict[str, str] = {}
        self._latest: dict[str, str] = {}
        """Image of the latest revision that was prepared, by function."""
        self._ends: dict[str, asyncio.Future[int | None]] = {}
        self._codes: dict[str, int | None] = {}
        """Exit codes of the latest that ended."""
        self._closing = threading.Event()
        self._preparing = asyncio.Lock()
        self._gateways: dict[str, str] = {}
        """Kind of network -> address of its bridge, which is this machine."""
        self._hear: Callable[[str, bytes, float], None] = lambda instance, output, at: None

    def hosts(self) -> Collection[str]:
        return sorted(set(self._gateways.values()))

    def host_for(self, function: Function) -> str:
        # A container reaches its host only under the address of its own bridge.
        return self._gateways[function.spec.network]

    def listen(self, hear: Callable[[str, bytes, float], None]) -> None:
        self._hear = hear

    async def open(self) -> None:
        try:
            await self._connection.open()
        except EngineError as error:
            raise EngineError(f"no Docker Engine answers ({error}); start it, or use --engine process") from error
        try:
            await self._thread(self._make_networks)
        except EngineError as error:
            raise EngineError(
                f"no network can be made for the functions ({error}); "
                f"`docker network prune` removes those that nothing uses"
            ) from error
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._follow, args=(loop,), name="docker events", daemon=True).start()
        self._making = asyncio.create_task(self._standbys.run(), name="standbys")

    async def prepare(self, function: Function) -> str | None:
        spec = function.spec
        if spec.path is None and spec.image is None:
            raise EngineError("command alone runs only with --engine process; with containers give image as well")
        await self._thread(self._check, spec)
        async with self._preparing:  # one build at a time: they share layers
            pinned = None
            if spec.path is not None:
                self._images[function.digest] = await self._build(function.name, Path(spec.path))
            else:
                pinned, self._images[function.digest] = await self._store.named(
                    function, only_digests=self._only_digests
                )
        self._standbys.want(function)
        return pinned

    def forget(self, name: str) -> None:
        self._standbys.forget(name)

    def standby(self, function: Function) -> str | None:
        return self._standbys.claim(function)

    def standbys(self) -> Mapping[str, int]:
        return self._standbys.counts()

    async def start(self, order: Order) -> Endpoint:
        self._standbys.used(order.function.name)
        ahead = self._standing_by.pop(order.instance, None)
        if ahead is not None:
            self._ahead.discard(order.instance)
            await self._thread(self._go_on, order.instance)
            return ahead
        self._ends[order.instance] = asyncio.get_running_loop().create_future()
        try:
            endpoint = await self._thread(self._start, order)
        except EngineError:
            self._ends.pop(order.instance, None)
            raise
        self._read_along(order.instance, since=None)
        return endpoint

    async def run(self, order: Order, event: bytes, *, limit: int) -> Ran:
        """Over one connection that is attached to it: Docker's log would not keep every byte."""
        ended = self._ends[order.instance] = asyncio.get_running_loop().create_future()
        try:
            connection = await self._thread(self._attached, order)
            with connection:
                await self._thread(self._start_attached, order.instance)
                self._read_along(order.instance, since=None)
                output = await talk(connection, event, limit)
        except OSError as error:
            raise EngineError(f"Docker: the connection to {order.instance} broke: {error}") from error
        if len(output) > limit:
            return Ran(exit_code=None, output=output)
        code = await asyncio.shield(ended)
        if code is None:
            code = await self._thread(self._exit_code, order.instance)
        return Ran(exit_code=code, output=output)

    async def stop(self, instance: str, *, grace: float) -> None:
        await self._thread(self._remove, instance, int(grace))
        self._end(instance, None)

    async def exited(self, instance: str) -> int | None:
        if instance in self._codes:
            return self._codes[instance]
        end = self._ends.setdefault(instance, asyncio.get_running_loop().create_future())
        return await asyncio.shield(end)

    async def adoptable(self) -> Sequence[Found]:
        found = await self._thread(self._find)
        for one in found:
            self._read_along(one.instance, since=time.time())
        return found

    def _read_along(self, instance: str, *, since: float | None) -> None:
        """What it writes from a moment (Unix seconds) on, in a thread that ends with it."""
        self._hear(instance, b"", time.time())
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._read_log, args=(instance, since, loop), name=f"log of {instance}", daemon=True
        ).start()

    async def log_tail(self, instance: str) -> str:
        try:
            return await self._thread(self._tail, instance)
        except EngineError:
            return ""

    async def owns(self, instance: str, endpoint: Endpoint) -> bool:
        return True  # it has an address of its own

    async def close(self, *, keep: bool) -> None:
        self._closing.set()
        if self._making is not None:
            await cancel([self._making])
            await self._standbys.close()  # the next leader makes its own
        if self._connection.is_open:
            # Nobody can adopt a run that is a call.
            found = [c for c in await self._thread(self._containers) if not keep or self._runs_here(c)]
            await asyncio.gather(*(self._thread(self._stop_container, c, 10) for c in found))
        if self._connection.is_open and not keep:
            await self._thread(self._remove_networks)
        self._connection.close()

    def _runs_here(self, container: Container) -> bool:
        """It is a call of this process."""
        return f"{_LABEL}once" in container.labels and container.labels[f"{_LABEL}instance"] in self._ends

    async def _stand_by(self, function: Function, instance: str) -> None:
        """Starts one and pauses it as soon as it serves. Raises EngineError."""
        order = Order(instance=instance, function=function, epoch=0)
        self._ends[instance] = asyncio.get_running_loop().create_future()
        self._ahead.add(instance)
        try:
            endpoint = await self._thread(self._start, order)
            self._read_along(instance, since=None)
            await until_it_serves(endpoint, ours=function.spec.path is not None)
            await self._thread(self._pause, instance)
        except BaseException:
            await self._discard(instance)
            raise
        self._standing_by[instance] = endpoint

    async def _discard(self, instance: str) -> None:
        self._standing_by.pop(instance, None)
        await self.stop(instance, grace=0)
        self._ahead.discard(instance)

    # What follows runs in threads.

    def _check(self, spec: FunctionSpec) -> None:
        """Raises EngineError for secrets that are missing, and volumes that may not be mounted."""
        read(self._secrets, spec)
        for volume in spec.volumes:
            source = volume.partition(":")[0]
            # What a link leads to counts as well, where the folder can be seen from here.
            for one in (source, os.path.realpath(source)):
                if (problem := allowed(one, self._roots)) is not None:
                    raise EngineError(problem)

    def _pause(self, instance: str) -> None:
        self._docker.containers.get(f"penstock-{instance}").pause()

    def _go_on(self, instance: str) -> None:
        self._docker.containers.get(f"penstock-{instance}").unpause()

    def _start(self, order: Order) -> Endpoint:
        function = order.function
        container = self._create(order)
        try:
            container.start()
            container.reload()
            return Endpoint(self._address(container), function.spec.port)
        except (DockerException, EngineError):
            container.remove(force=True, v=True)
            raise

    def _attached(self, order: Order) -> socket.socket:
        """Makes a container, and a connection to its standard input and output."""
        if self._docker.api.base_url.startswith("https"):
            raise EngineError("web_server: false needs an engine without TLS: its input could not be ended")
        container = self._create(order, stdin_open=True)
        raw = self._docker.api.attach_socket(str(container.id), {"stdin": 1, "stdout": 1, "stream": 1})
        try:
            return socket.socket(fileno=os.dup(raw.fileno()))
        finally:
            raw.close()

    def _start_attached(self, instance: str) -> None:
        self._docker.containers.get(f"penstock-{instance}").start()

    def _exit_code(self, instance: str) -> int | None:
        """Of one whose end the engine's events did not tell."""
        state = self._docker.containers.get(f"penstock-{instance}").attrs["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def _create(self, order: Order, **more: Any) -> Container:
        """A container that has all but its start. Raises EngineError and leaves nothing."""
        spec = order.function.spec
        secrets = read(self._secrets, spec)
        container = self._docker.containers.create(**self._body(order), **more)
        try:
            if secrets:
                container.put_archive(SECRETS, archive(secrets, spec.user))
        except DockerException:
            container.remove(force=True, v=True)
            raise
        return container

    def _body(self, order: Order) -> dict[str, Any]:
        return body(
            order,
            deployment=self._deployment,
            image=self._images[order.function.digest],
            network=self._network(order.function.spec.network),
            roots=self._roots,
        )

    def _address(self, container: Container) -> str:
        if container.status != "running":
            raise EngineError(f"it ended at once: {_text(container.logs(tail=5))}")
        networks: Mapping[str, Mapping[str, str]] = container.attrs["NetworkSettings"]["Networks"]
        for name, network in networks.items():
            if name.startswith("penstock-") and network["IPAddress"]:
                return network["IPAddress"]
        raise EngineError(f"container {container.name} has no address on a network of ours")

    def _find(self) -> list[Found]:
        found = []
        for container in self._containers():
            labels = container.labels
            if labels[f"{_LABEL}instance"] in self._ahead:
                continue  # nobody's instance yet, and no stray
            if container.status != "running":
                if labels[f"{_LABEL}instance"] in self._ends:
                    continue  # it is just being started here, or its end just being told
                # A start that failed leaves `created`, a crash `exited`: neither will ever serve.
                self._stop_container(container, 0)
                continue
            found.append(
                Found(
                    instance=labels[f"{_LABEL}instance"],
                    function=labels[f"{_LABEL}function"],
                    digest=labels[f"{_LABEL}digest"],
                    endpoint=Endpoint(self._address(container), int(labels[f"{_LABEL}port"])),
                    started_at=clock.parse_rfc3339(container.attrs["State"]["StartedAt"]),
                    gpu=labels.get(f"{_LABEL}gpu"),
                )
            )
        return found

    def _containers(self) -> list[Container]:
        label = f"{_LABEL}deployment={self._deployment}"
        return list(self._docker.containers.list(all=True, filters={"label": label}, ignore_removed=True))

    def _remove(self, instance: str, grace: int) -> None:
        with contextlib.suppress(NotFound):
            self._stop_container(self._docker.containers.get(f"penstock-{instance}"), grace)

    def _stop_container(self, container: Container, grace: int) -> None:
        try:
            if grace:
                container.stop(timeout=grace)
            container.remove(force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409:  # its removal is in progress already
                raise

    def _read_log(self, instance: str, since: float | None, loop: asyncio.AbstractEventLoop) -> None:
        def hear(line: bytes) -> None:
            at, _, text = line.partition(b" ")
            loop.call_soon_threadsafe(self._hear, instance, text, clock.parse_rfc3339(at.decode()) / 1000)

        def caught_up() -> None:
            """What is written faster than it is heard waits in the engine's files, which are bounded."""
            heard = threading.Event()
            loop.call_soon_threadsafe(heard.set)
            heard.wait(_HEARD_WITHIN)

        rest, ahead = b"", 0
        # It may be gone by now, or the engine; the loop may have ended.
        with contextlib.suppress(DockerException, OSError, RuntimeError, ValueError):
            container = self._docker.containers.get(f"penstock-{instance}")
            answers = f"{_LABEL}once" in container.labels  # on its standard output, which is no log then
            for piece in container.logs(
                stdout=not answers, stream=True, follow=True, timestamps=True, since=since
            ):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    hear(line + b"\n")
                ahead += len(lines)
                if ahead >= _AHEAD:
                    caught_up()
                    ahead = 0
            if rest:
                hear(rest + b"\n")  # the last words of one that ended

    def _tail(self, instance: str) -> str:
        return _text(self._docker.containers.get(f"penstock-{instance}").logs(tail=50))

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tells of containers that end by themselves. After the engine was away, looks at all of them."""
        filters = {"label": f"{_LABEL}deployment={self._deployment}", "event": "die"}
        while not self._closing.is_set():
            try:
                for event in self._docker.events(decode=True, filters=filters):
                    attributes = event["Actor"]["Attributes"]
                    code = attributes.get("exitCode")
                    instance = attributes[f"{_LABEL}instance"]
                    loop.call_soon_threadsafe(self._end, instance, int(code) if code else None)
            except (DockerException, OSError, ValueError) as error:
                log.warning("the Docker Engine's events broke off: %s", error)
            if self._closing.wait(1.0):
                return
            with contextlib.suppress(DockerException, OSError, RuntimeError):
                alive = {c.labels[f"{_LABEL}instance"] for c in self._containers() if c.status == "running"}
                for instance in set(self._ends) - alive:
                    loop.call_soon_threadsafe(self._end, instance, None)

    def _make_networks(self) -> None:
        # Without traffic between containers; `internal` also cuts the way to the world.
        for kind, internal in (("none", True), ("internet", False)):
            network = self._have_network(kind, internal)
            network.reload()
            self._gateways[kind] = network.attrs["IPAM"]["Config"][0]["Gateway"]

    def _have_network(self, kind: str, internal: bool) -> Network:
        with contextlib.suppress(NotFound):
            return self._docker.networks.get(self._network(kind))
        return self._docker.networks.create(
            self._network(kind),
            driver="bridge",
            internal=internal,
            options={"com.docker.network.bridge.enable_icc": "false"},
            labels={f"{_LABEL}deployment": self._deployment},
        )

    def _remove_networks(self) -> None:
        for kind in ("none", "internet"):
            with contextlib.suppress(DockerException):
                self._docker.networks.get(self._network(kind)).remove()

    def _network(self, kind: str) -> str:
        return f"penstock-{self._deployment}-{kind}"

    # Here ends what runs in threads.

    async def _build(self, name: str, folder: Path) -> str:
        """The image of a function's folder. Those of older revisions go, but for the one before it, which serves
        until the new one is ready and may be wanted back."""
        labels = {f"{_LABEL}deployment": self._deployment, f"{_LABEL}function": name}
        built = await self._builder.build(Recipe(name=name, folder=folder, labels=labels))
        before = self._latest.get(name)
        self._latest[name] = built.tag
        if built.made:
            keep = [built.tag, before] if before is not None else [built.tag]
            await self._store.retire(labels, keep, newest=0 if before is not None else 1)
        return built.tag

    def _end(self, instance: str, code: int | None) -> None:
        self._codes.setdefault(instance, code)
        while len(self._codes) > _REMEMBERED:
            del self._codes[next(iter(self._codes))]
        end = self._ends.pop(instance, None)
        if end is not None and not end.done():
            end.set_result(code)
        if self._standing_by.pop(instance, None) is not None:
            self._ahead.discard(instance)
            self._standbys.lost(instance)

    @property
    def _docker(self) -> docker.DockerClient:
        return self._connection.client


def _digests(image: Image) -> Sequence[str]:
    """What registries call it."""
    return image.attrs.get("RepoDigests") or ()


def _text(output: bytes) -> str:
    return output[-_TAIL:].decode(errors="replace")


def _last_lines(error: BuildError) -> str:
    """What the failed step wrote last; the engine paints what came from standard error."""
    said = "".join(str(entry["stream"]) for entry in error.build_log if "stream" in entry)
    lines = [line.rstrip() for line in _PAINT.sub("", said).replace("\r", "\n").splitlines()]
    return "\n".join([line for line in lines if line and not line.startswith("Removing intermediate")][-8:])


async def build_image(
    recipe: Recipe, *, base_image: str, network: str | None, say: Callable[[str], None]
) -> Built:
    """Builds on the engine that answers here. Raises EngineError."""
    connection = Connection()
    try:
        try:
            await connection.open()
        except EngineError as error:
            raise EngineError(f"no Docker Engine answers ({error}); start one, or set DOCKER_HOST") from error
        builder = Builder(DockerImages(connection), base_image=base_image, network=network, say=say)
        return await builder.build(recipe)
    finally:
        connection.close()


def engine_facts(image: str) -> tuple[Mapping[str, Any], bool]:
    """What the engine that answers here says of itself, and whether it has this image. Raises EngineError."""
    try:
        client = docker.from_env(timeout=5)
        try:
            return client.info(), any(image in (one.tags or ()) for one in client.images.list())
        finally:
            client.close()
    except (DockerException, OSError) as error:
        raise EngineError(f"no engine answers: {error}") from error
