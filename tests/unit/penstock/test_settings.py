"""Settings: a flag over the environment over the file over the default, and errors that name key and value."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.egress import Egress
from penstock.errors import ConfigurationError
from penstock.settings import GpuSettings, Settings, load


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)


Env = Callable[..., None]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    def env(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"PENSTOCK_{name}", value)

    return env


@pytest.fixture
def file(tmp_path: Path, env: Env) -> Callable[[str], None]:
    def file(text: str) -> None:
        (tmp_path / "settings.yaml").write_text(text)
        env(CONFIG=str(tmp_path / "settings.yaml"))

    return file


def test_the_defaults_are_those_of_the_design() -> None:
    settings = load()
    gateway, workers = settings.gateway, settings.workers
    assert (gateway.host, gateway.port, gateway.insecure) == ("127.0.0.1", 8080, False)
    assert (gateway.hold, gateway.max_hold, gateway.max_body) == (55.0, 300.0, 32 * 2**20)
    assert gateway.held_depth == 1_000
    assert (workers.engine, workers.slots, workers.stop_timeout) == ("process", None, 180.0)
    assert (settings.retention.job, settings.retention.call) == (24 * 3600.0, 600.0)
    assert settings.callbacks.timeout == 15.0
    assert settings.folder == Path.home() / ".local/share/penstock"


def test_the_environment_wins_over_the_file_and_a_flag_over_both(env: Env, file: Callable[[str], None]) -> None:
    assert load().gateway.port == 8080
    file("gateway: {port: 1}")
    assert load().gateway.port == 1
    env(GATEWAY__PORT="2")
    assert load().gateway.port == 2
    assert load({"gateway.port": 3}).gateway.port == 3


def test_one_group_can_come_from_several_places(env: Env, file: Callable[[str], None]) -> None:
    file("gateway: {port: 1, hold: 10s}\nsecret: of the file")
    env(GATEWAY__HOST="localhost")
    settings = load({"gateway.insecure": True})
    assert (settings.gateway.port, settings.gateway.hold) == (1, 10.0)
    assert (settings.gateway.host, settings.gateway.insecure) == ("localhost", True)
    assert settings.secret == "of the file"
    assert settings.gateway.max_hold == 300.0


def test_a_flag_that_was_not_given_changes_nothing(env: Env) -> None:
    env(GATEWAY__PORT="2", DATA_DIR="/srv/data")
    settings = load({"gateway.port": None, "data_dir": None, "redis.url": None})
    assert (settings.gateway.port, settings.data_dir) == (2, Path("/srv/data"))
    assert "url" not in settings.redis.model_fields_set, "so that `penstock up` knows to bring its own"


def test_false_and_zero_are_flags_that_were_given(env: Env) -> None:
    env(GATEWAY__INSECURE="true", GATEWAY__PORT="2")
    settings = load({"gateway.insecure": False, "gateway.port": 0})
    assert (settings.gateway.insecure, settings.gateway.port) == (False, 0)


def test_the_short_name_of_the_redis_url(env: Env, file: Callable[[str], None]) -> None:
    file("redis: {url: 'redis://file'}")
    env(REDIS_URL="redis://short")
    assert load().redis.url == "redis://short"
    env(REDIS__URL="redis://long")
    assert load().redis.url == "redis://long"
    assert load({"redis.url": "redis://flag"}).redis.url == "redis://flag"


def test_opentelemetrys_own_name_of_the_receiver(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    env(REDIS_URL="redis://short")
    assert (load().telemetry.otlp_endpoint, load().redis.url) == ("http://collector:4318", "redis://short")
    env(TELEMETRY__OTLP_ENDPOINT="http://ours:4318")
    assert load().telemetry.otlp_endpoint == "http://ours:4318"


def test_durations_and_sizes_are_written_as_people_write_them(env: Env) -> None:
    env(GATEWAY__HOLD="1.5m", GATEWAY__MAX_BODY="64MiB", RETENTION__JOB="7d", WORKERS__SLOTS="3")
    settings = load()
    assert (settings.gateway.hold, settings.gateway.max_body) == (90.0, 64 * 2**20)
    assert (settings.retention.job, settings.workers.slots) == (7 * 86_400.0, 3)


def test_a_home_folder_is_filled_in(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    env(DATA_DIR="~/data")
    assert load().folder == Path("/home/somebody/data")


def test_a_folder_is_absolute_so_that_every_process_means_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"data_dir": Path("here")}).folder == tmp_path / "here"


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("GATEWAY__PORT", "99999", "gateway.port"),
        ("GATEWAY__PORT", "http", "gateway.port"),
        ("GATEWAY__PORT", "-1", "gateway.port"),
        ("GATEWAY__HOLD", "5 parsecs", "gateway.hold"),
        ("GATEWAY__MAX_BODY", "lots", "gateway.max_body"),
        ("GATEWAY__INSECURE", "perhaps", "gateway.insecure"),
        ("GATEWAY__HELD_DEPTH", "0", "gateway.held_depth"),
        ("GATEWAY__PROT", "1", "gateway.prot"),
        ("WORKERS__ENGINE", "kubernetes", "workers.engine"),
        ("WORKERS__SLOTS", "0", "workers.slots"),
        ("WORKERS__INNER", "9100", "workers.inner"),
        ("WORKERS__INNER", "host:http", "workers.inner"),
        ("WORKERS__INNER", "0.0.0.0:9100", "workers.inner"),
        ("WORKERS__INNER", "[::]:9100", "workers.inner"),
        ("WORKERS__GPU_TIMEOUT", "0", "workers.gpu_timeout"),
        ("WORKERS__GPU_TIMEOUT", "soon", "workers.gpu_timeout"),
    ],
)
def test_an_error_names_the_key_and_the_value_it_got(env: Env, name: str, value: str, key: str) -> None:
    env(**{name: value})
    with pytest.raises(ConfigurationError) as error:
        load()
    text = str(error.value)
    assert text.startswith(f"setting {key}: ")
    assert text.endswith(f"(got {value!r})")
    assert "\n" not in text


def test_an_error_says_what_is_allowed(env: Env) -> None:
    env(WORKERS__ENGINE="kubernetes")
    with pytest.raises(ConfigurationError, match="'process' or 'docker'"):
        load()


def test_a_flag_is_checked_too() -> None:
    with pytest.raises(ConfigurationError, match=r"setting gateway\.port: .*65535 \(got 70000\)"):
        load({"gateway.port": 70000})


@pytest.mark.parametrize(
    "text", ["gateway: [", "gateway: {port: x}", "gateway: 5", "gatway: {}", "gateway: {prot: 1}", "- a", "text"]
)
def test_a_file_that_is_wrong_is_a_configuration_error(file: Callable[[str], None], text: str) -> None:
    file(text)
    with pytest.raises(ConfigurationError):
        load()


def test_an_empty_file_sets_nothing(file: Callable[[str], None]) -> None:
    file("")
    assert load() == Settings()


def test_a_file_that_is_not_there_is_an_error_and_not_the_defaults(env: Env, tmp_path: Path) -> None:
    env(CONFIG=str(tmp_path / "setings.yaml"))
    with pytest.raises(ConfigurationError, match=r"setings\.yaml"):
        load()


def test_a_group_that_is_not_json_is_a_configuration_error(env: Env) -> None:
    env(GATEWAY="{port: ")
    with pytest.raises(ConfigurationError, match="gateway"):
        load()


def test_a_group_can_be_given_as_json(env: Env) -> None:
    env(GATEWAY='{"port": 7}')
    assert load().gateway.port == 7


def test_gpus_are_found_unless_they_are_listed(env: Env, file: Callable[[str], None]) -> None:
    assert load().workers.gpus is None
    assert load().workers.gpu_timeout == 5.0
    file(
        "workers: {gpus: [{uuid: GPU-a, memory: 24GiB, type: fc.gpu.ampere.1, name: A10}, {uuid: b, memory: 8GB}]}"
    )
    assert load().workers.gpus == (
        GpuSettings(uuid="GPU-a", memory=24 * 2**30, type="fc.gpu.ampere.1", name="A10"),
        GpuSettings(uuid="b", memory=8 * 10**9, type=None, name=""),
    )
    env(WORKERS__GPUS='[{"uuid": "GPU-c", "memory": "16GiB"}]', WORKERS__GPU_TIMEOUT="500ms")
    assert load().workers.gpus == (GpuSettings(uuid="GPU-c", memory=16 * 2**30),)
    assert load().workers.gpu_timeout == 0.5


def test_an_empty_list_of_gpus_is_not_the_same_as_none(env: Env) -> None:
    env(WORKERS__GPUS="[]")
    assert load().workers.gpus == ()


@pytest.mark.parametrize(
    ("value", "key", "text"),
    [
        ('[{"uuid": "", "memory": "1GiB"}]', "0.uuid", "got ''"),
        ('[{"uuid": "a b", "memory": "1GiB"}]', "0.uuid", "got 'a b'"),
        ('[{"uuid": "a,b", "memory": "1GiB"}]', "0.uuid", "got 'a,b'"),
        ('[{"memory": "1GiB"}]', "0.uuid", "required"),
        ('[{"uuid": "a"}]', "0.memory", "required"),
        ('[{"uuid": "a", "memory": "lots"}]', "0.memory", "'lots' is not a size"),
        ('[{"uuid": "a", "memory": 0}]', "0.memory", "greater than 0"),
        ('[{"uuid": "a", "memory": 1}, {"uuid": "b", "memory": "?"}]', "1.memory", "got '?'"),
        ('[{"uuid": "a", "memory": 1, "typ": "t"}]', "0.typ", "got 't'"),
    ],
)
def test_a_wrong_gpu_is_an_error_that_names_it(env: Env, value: str, key: str, text: str) -> None:
    env(WORKERS__GPUS=value)
    with pytest.raises(ConfigurationError) as error:
        load()
    assert str(error.value).startswith(f"setting workers.gpus.{key}: ")
    assert text in str(error.value)


def test_a_gpu_that_is_listed_twice_is_an_error(env: Env) -> None:
    env(WORKERS__GPUS='[{"uuid": "GPU-a", "memory": 1}, {"uuid": "GPU-a", "memory": 2}]')
    with pytest.raises(ConfigurationError, match=r"setting workers\.gpus: .*two GPUs have the uuid GPU-a"):
        load()


def test_a_list_of_gpus_that_is_none_is_an_error(env: Env) -> None:
    env(WORKERS__GPUS="GPU-a")
    with pytest.raises(ConfigurationError, match=r"setting workers\.gpus: .*got 'GPU-a'"):
        load()


def test_settings_do_not_change() -> None:
    settings: Any = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.gateway.port = 1


# Callbacks.


def test_networks_and_ports_are_written_as_words(env: Env, file: Callable[[str], None]) -> None:
    assert load().callbacks.egress == Egress()
    env(CALLBACKS__ALLOW="10.0.0.0/8, fd00::/8 127.0.0.1", CALLBACKS__PORTS="443 8000-9000")
    egress = load().callbacks.egress
    assert [str(network) for network in egress.allow] == ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"]
    assert egress.ports == ((443, 443), (8000, 9000))


def test_networks_and_ports_come_from_a_file_too(file: Callable[[str], None]) -> None:
    file("callbacks: {allow: [10.0.0.0/8], ports: 443, schemes: https}")
    egress = load().callbacks.egress
    assert [str(network) for network in egress.allow] == ["10.0.0.0/8"]
    assert (egress.ports, egress.schemes) == (((443, 443),), ("https",))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALLOW", "10.0.0.1/8", "has host bits set; write 10.0.0.0/8"),
        ("ALLOW", "internal", "write 10.0.0.0/8"),
        ("PORTS", "http", "neither a port nor a range"),
        ("SCHEMES", "ftp", "'http' or 'https'"),
        ("BASE_URL", "penstock", "not a URL"),
    ],
)
def test_what_may_not_be_called_back_is_told_with_its_name(env: Env, name: str, value: str, says: str) -> None:
    env(**{f"CALLBACKS__{name}": value})
    with pytest.raises(ConfigurationError, match=f"setting callbacks.{name.lower()}") as refused:
        load()
    assert says in str(refused.value)
