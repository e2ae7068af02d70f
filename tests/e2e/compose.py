"""The stack of compose/ for end-to-end tests: docker-compose 1.29 against the local engine, under a project,
ports, a network and secrets of its own. Images that cannot be pulled are built on the base image."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
import yaml
from docker.models.containers import Container
from docker.models.networks import Network

from tests.e2e.harness import BASE_IMAGE, docker_client, free_port, wait_until

FOLDER = Path(__file__).parents[2] / "compose"
DOCKER_COMPOSE = "/usr/bin/docker-compose"
FILES = ("compose.yaml", "offline.yaml")
SERVICES = ("redis", "gateway-1", "gateway-2", "proxy", "workers", "prometheus")
"""Without Grafana and the collector, which no package of Debian has."""
_BUILT = ("redis", "gateway-1", "gateway-2", "workers")


class Compose:
    """One deployment. `with` removes all of it, volumes too."""

    def __init__(self, functions: Path) -> None:
        """`functions`: the folder that the workers see as /functions."""
        self.project = f"pstest{secrets.token_hex(4)}"
        # Others than us read it, in containers.
        self.folder = Path(tempfile.mkdtemp(prefix="ps-"))
        self.secrets = self.folder / "secrets"
        self.env_file = self.folder / "env"
        self.port, self.prometheus = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        network = f"172.16.{random.randrange(256)}"  # none that the engine takes by itself
        self.settings = {
            "COMPOSE_PROJECT_NAME": self.project,
            "PENSTOCK_SECRETS": str(self.secrets),
            "PENSTOCK_LISTEN": f"127.0.0.1:{self.port}",
            "PENSTOCK_PROMETHEUS_LISTEN": f"127.0.0.1:{self.prometheus}",
            "PENSTOCK_SUBNET": f"{network}.0/24",
            "PENSTOCK_BRIDGE": f"{network}.1",
            "PENSTOCK_FUNCTIONS": str(functions),
            "PENSTOCK_BASE": BASE_IMAGE,
            "PENSTOCK_FUNCTION_BASE": BASE_IMAGE,
            "PENSTOCK_VERSION": "test",
        }
        self.files: Sequence[str] = FILES
        self.http = requests.Session()

    def __enter__(self) -> Compose:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.logs())
        self.http.close()
        self.run("down", "-v", "-t", "5", check=False, timeout=120)
        shutil.rmtree(self.folder, ignore_errors=True)

    # Starting

    def init(self) -> None:
        """As the documentation says, with settings for both kinds of processes beside the secrets."""
        environment = {"PENSTOCK_SECRETS": str(self.secrets), "PENSTOCK_ENV": str(self.env_file)}
        call([str(FOLDER / "init")], environment)
        self.http.headers["Authorization"] = f"Bearer {self.key}"

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Adds to the settings file that `init` made."""
        file = self.secrets / "penstock.yaml"
        made = yaml.safe_load(file.read_text())
        for group, values in settings.items():
            made[group] = {**made.get(group, {}), **values}
        file.write_text(yaml.safe_dump(made))  # whose it is stays the same

    def override(self, services: Mapping[str, Any]) -> None:
        """What of compose.yaml is different here: one more file."""
        file = self.folder / "override.yaml"
        file.write_text(yaml.safe_dump({"services": dict(services)}))
        self.files = (*FILES, str(file))

    def build(self) -> None:
        call([str(FOLDER / "fetch")], {"PYTHON": sys.executable}, timeout=120)
        self.run("build", "-q", *_BUILT, timeout=300)

    def up(self, *services: str) -> None:
        """Returns when each of them is healthy and the functions can be invoked."""
        self.run("up", "-d", "--no-build", *(services or SERVICES))
        try:
            wait_until(self.is_healthy, 60, "all containers are healthy", every=0.2)
            wait_until(self.is_ready, 30, "the gateways find workers that lead", every=0.1)
        except AssertionError as error:
            error.add_note("\n".join(f"{one.name}: {health(one)}" for one in self.containers()))
            error.add_note(self.logs())
            raise

    def is_healthy(self) -> bool:
        return {health(container) for container in self.containers()} == {"healthy"}

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return self.http.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    # The command lines

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 100,
        files: Sequence[str] = (),
        env_file: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """docker-compose with some files below compose/, or else those of this deployment."""
        named = [part for file in files or self.files for part in ("-f", str(FOLDER / file))]
        whole = [DOCKER_COMPOSE, "--env-file", str(env_file or self.env_file), *named, *command]
        return call(whole, self.settings, check=check, timeout=timeout)

    def penstock(self, *command: str, service: str = "workers") -> str:
        """A `penstock …` within a container."""
        done = self.container(service).exec_run(["penstock", *command])
        assert done.exit_code == 0, done.output.decode()
        return str(done.output.decode())

    def logs(self) -> str:
        return self.run("logs", "--no-color", "--tail=60", check=False).stdout[-12_000:]

    # From outside

    def containers(self) -> list[Container]:
        """Of the stack itself."""
        label = f"com.docker.compose.project={self.project}"
        return list(docker_client().containers.list(all=True, filters={"label": label}))

    def container(self, service: str) -> Container:
        (found,) = (c for c in self.containers() if c.labels["com.docker.compose.service"] == service)
        return found

    def redis(self, *command: str) -> str:
        """As the user of Penstock."""
        login = ("-s", "/run/redis/redis.sock", "--user", "penstock", "--pass", self.password, "--no-auth-warning")
        return self.execute("redis", "redis-cli", *login, *command).strip()

    @property
    def key(self) -> str:
        """The admin's."""
        return str(self._made["gateway"]["admin_key"])

    @property
    def password(self) -> str:
        """Of Redis."""
        return str(self._made["redis"]["url"]).partition("@")[0].rpartition(":")[2]

    @property
    def _made(self) -> dict[str, Any]:
        made: dict[str, Any] = yaml.safe_load((self.secrets / "penstock.yaml").read_text())
        return made

    def execute(self, service: str, *command: str) -> str:
        """What a command within a container says."""
        done = self.container(service).exec_run(list(command))
        return str(done.output.decode())

    def instances(self, deployment: str) -> dict[str, str]:
        """Id -> state of the containers of functions."""
        label = f"penstock.deployment={deployment}"
        found = docker_client().containers.list(all=True, filters={"label": label}, ignore_removed=True)
        return {str(container.id): container.status for container in found}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What the stack's Prometheus answers."""
        url = f"http://127.0.0.1:{self.prometheus}/api/v1/query"
        reply = self.http.get(url, params={"query": expression}, timeout=10)
        assert reply.status_code == 200, f"{expression}: {reply.text}"
        found: list[dict[str, Any]] = reply.json()["data"]["result"]
        return found


def health(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"].get("Health", {}).get("Status", container.status))


def call(
    command: Sequence[str], settings: Mapping[str, str], *, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """A program with Debian's docker first in the PATH, and none of our own settings but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    # The other client that a machine may have speaks a protocol that Debian's engine does not.
    own = {"PATH": f"/usr/bin:{os.environ['PATH']}", "COMPOSE_DOCKER_CLI_BUILD": "0", **settings}
    done = subprocess.run(
        command, env=inherited | own, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done


def mounts(container: Container) -> set[str]:
    """What of the host, or which volume, it has, by where it is in the container."""
    return {mount["Destination"] for mount in container.attrs["Mounts"]}


def networks(label: str) -> list[Network]:
    return list(docker_client().networks.list(filters={"label": label}))
