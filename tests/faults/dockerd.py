"""A Docker Engine of our own, which can be killed: it shares with the machine's no more than the kernel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import docker
from docker.errors import APIError, DockerException
from docker.models.containers import Container

from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, docker_client, wait_until
from tests.faults.deployment import Deployment


class Dockerd:
    """Restarting it changes nothing for the machine's engine: it has no hand on the firewall, and a bridge of its
    own. A dockerd without one, or with address pools of its own, removes the default bridge."""

    def __init__(self) -> None:
        binary = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if binary is None or os.geteuid() != 0 or not docker_answers():
            missing("root, dockerd, and a Docker Engine with the image penstock/base:bookworm")
        # A short path: a Unix socket's name holds 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="pd-"))
        self.url = f"unix://{self.folder}/docker.sock"
        options = {
            "host": self.url,
            "data-root": str(self.folder / "data"),
            "exec-root": str(self.folder / "exec"),
            "pidfile": str(self.folder / "docker.pid"),
            "config-file": str(self.folder / "daemon.json"),
            "containerd-namespace": self.folder.name,
            "containerd-plugins-namespace": f"{self.folder.name}-plugins",
            "log-level": "warn",
            "bridge": self.folder.name,
            "iptables": "false",
            "ip-forward": "false",
            "ip-masq": "false",
        }
        (self.folder / "daemon.json").write_text("{}")
        self._bridge = docker_client().networks.create(
            self.folder.name, driver="bridge", options={"com.docker.network.bridge.name": self.folder.name}
        )
        self._command = [str(binary), *(f"--{name}={value}" for name, value in options.items())]
        self._process: subprocess.Popen[bytes] | None = None
        self._client: docker.DockerClient | None = None

    def __enter__(self) -> Dockerd:
        try:
            self.start()
            assert self._client is not None
            self._client.images.load(docker_client().images.get(BASE_IMAGE).save(named=True))
        except (AssertionError, DockerException) as error:
            print(error, self.log()[-6000:], sep="\n")
            self.close()
            missing("the right to run a dockerd, which root does not have in most containers,")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"--- dockerd\n{self.log()[-6000:]}")
        self.close()

    def start(self) -> None:
        """Also after `kill`, on what it left."""
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, 30, "dockerd answers")

    def kill(self) -> float:
        """kill -9; the time of it."""
        assert self._process is not None
        at = time.time()
        self._process.kill()
        self._process.wait()
        # Its containerd dies with it. Where nobody collects the dead the next dockerd would think that it lives,
        # by its number, and wait for it in vain.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink()
        return at

    def log(self) -> str:
        return (self.folder / "dockerd.log").read_text(errors="replace")

    def containers(self, *labels: str) -> list[Container]:
        """All of them, or those with these labels."""
        assert self._client is not None
        filters = {"label": list(labels)} if labels else None
        return list(self._client.containers.list(all=True, filters=filters, ignore_removed=True))

    def close(self) -> None:
        """Ends it and all that it started, and leaves no trace."""
        with contextlib.suppress(DockerException, OSError, AssertionError):
            if self._process is not None and self._process.poll() is not None:
                self.start()  # only it can end the containers that outlived it
            for container in self.containers():
                with contextlib.suppress(APIError):
                    container.remove(force=True, v=True)
            assert self._client is not None
            self._client.networks.prune()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(15)
            self._process.kill()
            self._process.wait()
        wait_until(self._nothing_runs, 10, "what it started is dead")
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{self.folder}/"):
                subprocess.run(("umount", "--lazy", line.split()[1]), check=False)
        self._bridge.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _nothing_runs(self) -> bool:
        """Its containerd, and the shims of containers that were never removed, name its folder."""
        name, found = f"{self.folder}/".encode(), False
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if name in command.read_bytes():
                    os.kill(int(command.parent.name), signal.SIGKILL)
                    found = True
        return not found

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log()
        with contextlib.suppress(DockerException, OSError):
            self._client = docker.DockerClient(self.url)
            return bool(self._client.ping())
        return False


class OnDockerd(Deployment):
    """Its workers use this engine."""

    def __init__(self, engine: Dockerd, **settings: str) -> None:
        super().__init__("docker", **settings)
        self._dockerd = engine
        self.environment["DOCKER_HOST"] = engine.url

    def containers(self, function: str | None = None) -> list[Container]:
        labels = [f"penstock.deployment={self.deployment}"]
        return self._dockerd.containers(*labels, *([f"penstock.function={function}"] if function else ()))

    def remove_containers(self) -> None:
        pass  # they go with their engine
