"""The stack of compose/, from a clone to a called function, with its parts killed and restarted under load."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import yaml

from penstock import Client
from tests.conftest import missing
from tests.e2e import compose
from tests.e2e.compose import FILES, FOLDER, Compose
from tests.e2e.harness import FUNCTIONS, Json, docker_answers, docker_client, free_port, wait_until
from tests.e2e.receiver import Receiver
from tests.nvml import GIB, SimulatedNvml, build

pytestmark = pytest.mark.timeout(300)

_SPECS = {
    "echo": {"path": "/functions/echo", "resources": {"memory": "128MiB"}, "scaling": {"max": 1}},
    "slow": {
        "path": "/functions/slow",
        "event": "json",
        "concurrency": 16,
        "resources": {"memory": "128MiB"},
        "scaling": {"max": 1},
    },
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The files alone, made ready by `init`; nothing runs."""
    if shutil.which(compose.DOCKER_COMPOSE) is None:
        missing("docker-compose")
    with Compose(tmp_path_factory.mktemp("functions")) as stack:
        stack.init()
        yield stack


@pytest.fixture(scope="module")
def stack(files: Compose) -> Compose:
    """All that runs of it here, with two functions."""
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    functions = files.folder / "functions"
    for name in _SPECS:
        shutil.copytree(FUNCTIONS / name, functions / name)
    (functions / "penstock.yaml").write_text(yaml.safe_dump({"functions": _SPECS}))
    files.folder.chmod(0o755)
    files.settings["PENSTOCK_FUNCTIONS"] = str(functions)
    soon = {service: {"healthcheck": {"interval": "1s"}} for service in compose.SERVICES}
    soon["prometheus"] |= _often(files)
    soon["workers"] |= _with_a_card(files)
    files.override(soon)
    files.configure({"callbacks": {"allow": "127.0.0.0/8"}})
    files.build()
    files.up()
    files.penstock("deploy", "-f", "/functions/penstock.yaml")
    return files


def _often(stack: Compose) -> Json:
    """Prometheus looks each second, so that rates are known within the test."""
    folder = stack.folder / "prometheus"
    shutil.copytree(FOLDER / "prometheus", folder)
    file = folder / "prometheus.yml"
    file.write_text(file.read_text().replace("interval: 15s", "interval: 1s"))
    return {"volumes": [f"{folder}:/etc/prometheus:ro"]}


def _with_a_card(stack: Compose) -> Json:
    """Workers that see a simulated GPU."""
    if shutil.which("gcc") is None:
        missing("gcc")
    folder = stack.folder / "nvml"
    folder.mkdir()
    nvml = SimulatedNvml(build(folder), folder / "state")
    nvml.reset()
    nvml.plug("GPU-simulated", used=GIB, sm=40)
    return {
        "environment": {"LD_LIBRARY_PATH": "/opt/nvml", "SIMULATED_NVML": "/opt/nvml/state"},
        "volumes": [f"{folder}:/opt/nvml:ro"],
    }


@pytest.mark.parametrize(
    "chosen",
    [
        ("compose.yaml",),
        ("compose.yaml", "gpu.yaml"),
        ("compose.yaml", "tls.yaml"),
        ("compose.yaml", "tls.yaml", "gpu.yaml"),
        FILES,
        (*FILES, "tls.yaml", "gpu.yaml"),
        ("redis.yaml",),
    ],
    ids="+".join,
)
def test_every_combination_of_files_is_valid(files: Compose, chosen: tuple[str, ...]) -> None:
    done = files.run("config", "-q", files=chosen)
    assert done.stderr == ""


def test_without_init_it_says_what_to_do(files: Compose) -> None:
    empty = files.folder / "empty"
    empty.touch()
    done = files.run("config", "-q", env_file=empty, check=False)
    assert done.returncode != 0
    assert "run compose/init" in done.stderr


def test_init_makes_secrets_once_and_for_nobody_else(files: Compose) -> None:
    before = {file.name: file.read_bytes() for file in files.secrets.iterdir()}
    assert set(before) == {"penstock.yaml", "redis.acl", "grafana_password"}
    assert stat.S_IMODE(files.secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.secrets.iterdir()} == {0o400}, "made as root"
    owners = {file.name: file.stat().st_uid for file in files.secrets.iterdir()}
    assert owners == {"penstock.yaml": 10001, "redis.acl": 999, "grafana_password": 472}
    made = yaml.safe_load(before["penstock.yaml"])
    password = made["redis"]["url"].partition("@")[0].rpartition(":")[2]
    assert len(made["secret"]) == len(password) == 64
    assert password.encode() not in before["redis.acl"], "Redis gets its hash alone"
    files.init()
    assert {file.name: file.read_bytes() for file in files.secrets.iterdir()} == before
    whole = files.run("config").stdout
    for secret in (made["secret"], password, made["callbacks"]["secret"], made["gateway"]["admin_key"]):
        assert secret not in whole


def test_every_container_is_hardened_and_only_the_workers_hold_the_docker_socket(stack: Compose) -> None:
    found = {one.labels["com.docker.compose.service"]: one for one in stack.containers()}
    assert set(found) == set(compose.SERVICES)
    for service, one in found.items():
        host = one.attrs["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert not host["Privileged"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert one.attrs["Config"]["User"].split(":")[0] not in ("", "0", "root"), service
        assert host["Init"], service
        assert not any("whsec_" in text for text in one.attrs["Config"]["Env"]), service
    assert [name for name, one in found.items() if "/var/run/docker.sock" in compose.mounts(one)] == ["workers"]
    with_redis = {name for name, one in found.items() if "/run/redis" in compose.mounts(one)}
    assert with_redis == {"redis", "gateway-1", "gateway-2", "workers"}
    assert found["redis"].attrs["HostConfig"]["NetworkMode"] == "none"


def test_redis_lets_penstock_do_its_work_and_no_more(stack: Compose) -> None:
    assert stack.redis("PING") == "PONG"
    for refused in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["SET", "foreign", "1"], ["ACL", "LIST"]):
        assert "NOPERM" in stack.redis(*refused), refused
    assert "NOAUTH" in stack.execute("redis", "redis-cli", "-s", "/run/redis/redis.sock", "PING")
    assert not stack.http.get(f"{stack.url}/readyz", timeout=5).json()["degraded"]


def test_the_doctor_finds_nothing_to_mend(stack: Compose) -> None:
    said = stack.execute("workers", "penstock", "doctor")
    assert "✓ Redis durability" in said
    assert stack.password not in said
    told = {line[2:].partition(":")[0] for line in said.splitlines() if line.startswith(("✗", "!"))}
    # The machine's own: its kernel's settings, and an engine that cannot give away a card that is simulated.
    assert told <= {"Kernel", "Docker GPUs", "Limits", "Disk"}, said


def test_a_function_is_called_submitted_and_calls_back(stack: Compose) -> None:
    path = f"{stack.url}/v1/functions/echo/invocations"
    answer = stack.http.post(path, data=b"hello", timeout=30)
    assert (answer.status_code, answer.content) == (200, b"hello")
    with Receiver() as receiver:
        headers = {"Prefer": "respond-async", "Penstock-Callback-Url": f"{receiver.url}/done"}
        accepted = stack.http.post(path, data=b"later", headers=headers, timeout=10)
        assert accepted.status_code == 202
        record = stack.http.get(f"{stack.url}{accepted.headers['Location']}?wait=20", timeout=30).json()
        assert record["state"] == "succeeded"
        assert stack.http.get(f"{stack.url}{record['links']['result']}", timeout=10).content == b"later"
        wait_until(lambda: receiver.of(record["id"]), 10, "the callback came")
    (delivery,) = receiver.of(record["id"])
    assert delivery.data["result"] is not None


def test_nobody_is_served_without_a_key(stack: Compose) -> None:
    path = f"{stack.url}/v1/functions/echo/invocations"
    assert requests.post(path, data=b"x", timeout=10).status_code == 401
    assert requests.post(path, data=b"x", headers={"X-Api-Key": "0" * 64}, timeout=10).status_code == 401
    said = stack.logs()
    assert stack.key not in said
    assert stack.password not in said


def test_a_large_body_goes_through_the_shared_volume(stack: Compose) -> None:
    body = os.urandom(3 * 2**20)
    answer = stack.http.post(f"{stack.url}/v1/functions/echo/invocations", data=body, timeout=30)
    assert answer.status_code == 200
    assert answer.content == body


def test_events_come_through_the_proxy_as_they_happen(stack: Compose) -> None:
    path = f"{stack.url}/v1/functions/slow/invocations"
    job = stack.http.post(path, json={"seconds": 2}, headers={"Prefer": "respond-async"}, timeout=10).json()
    at: dict[str, float] = {}
    with stack.http.get(f"{stack.url}{job['links']['events']}", stream=True, timeout=30) as events:
        for line in events.iter_lines(chunk_size=1):
            for state in (b"running", b"succeeded"):
                if state in line:
                    at.setdefault(state.decode(), time.monotonic())
    assert set(at) == {"running", "succeeded"}
    assert at["succeeded"] - at["running"] > 1, "told when it began, not when all was over"


def test_the_proxy_keeps_figures_for_those_inside(stack: Compose) -> None:
    assert stack.http.get(f"{stack.url}/metrics", timeout=5).status_code == 404
    up = 'haproxy_server_status{state="UP"} == 1'
    wait_until(lambda: len(stack.query(up)) == 2, 30, "Prometheus knows both gateways", every=0.5)


def test_https_ends_at_the_proxy(stack: Compose) -> None:
    certificate, key = stack.folder / "cert.pem", stack.folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    compose.call([*made, *more], {})
    both = stack.folder / "tls.pem"
    both.write_text(certificate.read_text() + key.read_text())
    port = free_port()
    stack.settings |= {"PENSTOCK_TLS_LISTEN": f"127.0.0.1:{port}", "PENSTOCK_TLS_PEM": str(both)}
    stack.run("up", "-d", "--no-deps", "proxy", files=(*stack.files, "tls.yaml"))
    wait_until(stack.is_ready, 30, "the new proxy finds the gateways", every=0.1)
    answer = requests.get(f"https://localhost:{port}/readyz", verify=str(certificate), timeout=5)
    assert answer.status_code == 200
    assert "Strict-Transport-Security" in answer.headers


def test_a_gateway_killed_under_load_costs_no_call_under_a_key_and_no_job(stack: Compose) -> None:
    """Calls without a key fail only where that gateway held them: nobody may repeat those."""
    stop = threading.Event()
    path = f"{stack.url}/v1/functions/slow/invocations"

    def without_key(session: requests.Session) -> int:
        return session.post(path, json={"seconds": 0.05}, timeout=30).status_code

    def with_key(client: Client) -> int:
        return 200 if client.invoke("slow", {"seconds": 0.05}).value["attempt"] == 1 else 500

    def submit(session: requests.Session) -> int:
        reply = session.post(path, json={"seconds": 0.01}, headers={"Prefer": "respond-async"}, timeout=30)
        if reply.status_code == 202:
            accepted.append(reply.headers["Location"])
        return reply.status_code

    accepted: list[str] = []
    with Client(stack.url, api_key=stack.key) as client, ThreadPoolExecutor(9) as threads:
        keyed = [threads.submit(_calls, lambda: with_key(client), stop) for _ in range(3)]
        plain = [threads.submit(_loop, stack, without_key, stop) for _ in range(3)]
        jobs = [threads.submit(_loop, stack, submit, stop) for _ in range(3)]
        wait_until(lambda: len(accepted) > 20, 30, "there is load")
        before = len(accepted)
        os.kill(stack.container("gateway-1").attrs["State"]["Pid"], signal.SIGKILL)
        wait_until(lambda: len(accepted) > before + 100, 30, "the other one goes on")
        wait_until(stack.is_healthy, 30, "the engine starts it again", every=0.2)
        stop.set()
        outcomes = {
            name: [s for one in group for s in one.result()]
            for name, group in (("keyed", keyed), ("plain", plain), ("jobs", jobs))
        }
    assert set(outcomes["keyed"]) == {200}
    for name, threads_of_it in (("plain", 3), ("jobs", 3)):
        good = {"plain": 200, "jobs": 202}[name]
        failed = [status for status in outcomes[name] if status != good]
        assert len(failed) <= threads_of_it, f"{name}: only what it held when it died: {failed}"
        assert set(failed) <= {0, 502}, "no call was refused that another gateway could have taken"
    records = [stack.http.get(f"{stack.url}{one}?wait=20", timeout=30).json() for one in accepted]
    assert {record["state"] for record in records} == {"succeeded"}


def _loop(stack: Compose, call: Callable[[requests.Session], int], stop: threading.Event) -> list[int]:
    with requests.Session() as session:
        session.headers.update(stack.http.headers)
        return _calls(lambda: call(session), stop)


def _calls(call: Callable[[], int], stop: threading.Event) -> list[int]:
    """Status of each call; 0: the connection broke."""
    statuses = []
    while not stop.is_set():
        try:
            statuses.append(call())
        except requests.ConnectionError:
            statuses.append(0)
    return statuses


def test_a_gateway_that_is_stopped_lets_go_of_its_calls(stack: Compose) -> None:
    """A held call goes on as a job; what comes meanwhile is served by the other gateway."""
    path = f"{stack.url}/v1/functions/slow/invocations"

    def hold() -> requests.Response:
        return requests.post(path, json={"seconds": 3}, headers=stack.http.headers, timeout=30)

    with ThreadPoolExecutor(8) as threads:
        held = [threads.submit(hold) for _ in range(8)]
        wait_until(lambda: _held(stack) == 8, 10, "all of them run")
        stack.run("stop", "gateway-2")
        answers = [one.result() for one in held]
    stack.run("start", "gateway-2")
    assert {answer.status_code for answer in answers} == {200, 202}, "both gateways held some"
    for answer in answers:
        if answer.status_code == 202:
            record = stack.http.get(f"{stack.url}{answer.headers['Location']}?wait=20", timeout=30).json()
            assert (record["state"], record["attempt"]) == ("succeeded", 1)
    wait_until(stack.is_healthy, 30, "it is back", every=0.2)


def _held(stack: Compose) -> int:
    return int(stack.redis("ZCARD", "ps:{slow}:running"))


def test_every_query_of_the_dashboard_finds_data(stack: Compose) -> None:
    board = json.loads((FOLDER / "grafana" / "dashboards" / "penstock.json").read_text())
    targets = [
        (panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", ())
    ]
    asked = {
        (title, expr.replace("$__rate_interval", "10m").replace("$function", ".*")) for title, expr in targets
    }
    assert len(asked) > 50
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not _without_data(stack, asked), 20, "", every=1)
    assert _without_data(stack, asked) == []


def _without_data(stack: Compose, asked: set[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(title, expr) for title, expr in asked if not stack.query(expr)]


def test_prometheus_finds_every_part_and_nothing_to_complain_of(stack: Compose) -> None:
    down = {one["metric"]["job"] for one in stack.query("up == 0")}
    assert down == {"collector"}, "which does not run here"
    assert len(stack.query('up{job=~"gateway|workers|proxy"} == 1')) == 4
    assert stack.query('ALERTS{alertstate="firing"}') == []
    assert stack.query("prometheus_rule_evaluation_failures_total > 0") == []


def test_restarted_workers_adopt_what_runs(stack: Compose) -> None:
    deployment = stack.redis("GET", "ps:deployment")
    before = stack.instances(deployment)
    assert set(before.values()) == {"running"}
    stack.run("restart", "workers")
    wait_until(stack.is_ready, 30, "they lead again", every=0.1)
    answer = stack.http.post(f"{stack.url}/v1/functions/echo/invocations", data=b"x", timeout=30)
    assert answer.headers["Penstock-Cold-Start"] == "false"
    assert stack.instances(deployment) == before


def test_down_leaves_nothing_but_volumes_and_up_finds_them(stack: Compose) -> None:
    path = f"{stack.url}/v1/functions/echo/invocations"
    job = stack.http.post(path, data=b"kept", headers={"Prefer": "respond-async"}, timeout=10).json()
    stack.http.get(f"{stack.url}{job['links']['self']}?wait=20", timeout=30)
    deployment = stack.redis("GET", "ps:deployment")
    stack.run("down")
    assert not stack.containers()
    assert not stack.instances(deployment), "of the functions"
    assert not compose.networks(f"com.docker.compose.project={stack.project}")
    assert not compose.networks(f"penstock.deployment={deployment}")
    volumes = docker_client().volumes.list(filters={"label": f"com.docker.compose.project={stack.project}"})
    assert {f"{stack.project}_{name}" for name in ("redis", "data")} <= {volume.name for volume in volumes}
    stack.up()
    kept = stack.http.get(f"{stack.url}{job['links']['result']}", timeout=10)
    assert kept.content == b"kept", kept.text
    assert stack.http.post(path, data=b"again", timeout=30).content == b"again"
