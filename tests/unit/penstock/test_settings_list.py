"""Every setting is explained, and can be given in each of the three ways."""

from __future__ import annotations

import os
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from penstock.cli import options
from penstock.errors import ConfigurationError
from penstock.settings import Settings, environment, load, origin, shown, variable
from penstock.settingslist import Entry, entries, markdown

ALL = entries()
PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
SAMPLES = {
    "redis.url": "redis://example.com:1/2",
    "workers.inner": "10.0.0.1:9100",
    "workers.gpus": '[{"uuid": "GPU-a", "memory": "24GiB"}]',
    "workers.ops": "127.0.0.1:9101",
    "gateway.admin_key": "0123456789abcdef0123456789abcdef",
    "gateway.trusted_proxies": "10.0.0.0/8",
    "gateway.cors_origins": "https://app.example.com",
    "telemetry.otlp_endpoint": "http://127.0.0.1:4318",
    "fc.region": "eu-central-1",
    "fc.account_id": "1234567890123456",
    "docker.volume_roots": "/srv/models",
    "callbacks.base_url": "https://penstock.example.com",
    "callbacks.allow": "10.0.0.0/8",
    "callbacks.ports": "443",
    "callbacks.schemes": "https",
}
"""Of settings that are more than their type."""
BY_KIND = {
    "duration": "7s",
    "size": "3MiB",
    "whole": "17",
    "number": "0.5",
    "text": "some text",
    "path": "/srv/penstock",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)


def sample(entry: Entry) -> str:
    """A value that is not the default, as a person would write it."""
    if entry.key in SAMPLES:
        return SAMPLES[entry.key]
    if entry.allowed.startswith("`"):
        return next(word for word in entry.allowed.replace("`", "").split(", ") if word != entry.default)
    return BY_KIND[entry.allowed.split()[0]]


def value(settings: Settings, key: str) -> Any:
    group, _, name = key.rpartition(".")
    return getattr(getattr(settings, group) if group else settings, name)


def each(function: Any) -> Any:
    return pytest.mark.parametrize("entry", ALL, ids=[entry.key for entry in ALL])(function)


def test_the_list_has_every_field_of_every_group() -> None:
    groups = [field.default for field in Settings.model_fields.values() if isinstance(field.default, BaseModel)]
    fields = sum(len(type(group).model_fields) for group in groups)
    assert len(ALL) == fields + len(Settings.model_fields) - len(groups)
    assert len({entry.key for entry in ALL}) == len(ALL)


@each
def test_it_is_explained_in_its_docstring(entry: Entry) -> None:
    assert len(entry.text) > 10, f"{entry.key} needs a docstring: it becomes its line in docs/settings.md"
    assert entry.text.endswith((".", "`"))


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == markdown(), "run: penstock settings --markdown > docs/settings.md"


@each
def test_by_flag_by_environment_and_by_file_it_is_the_same(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, default = sample(entry), value(load(), entry.key)
    flags = options.flags([f"{entry.key}={text}"], {})
    by_flag = value(load(flags), entry.key)
    assert by_flag != default, f"add a sample of {entry.key} to SAMPLES"
    assert origin(entry.key, flags) == "flag"

    for name, passed in environment(flags).items():
        monkeypatch.setenv(name, passed)
    assert value(load(), entry.key) == by_flag
    assert origin(entry.key, {}) == variable(entry.key)
    monkeypatch.delenv(variable(entry.key))

    group, _, name = entry.key.rpartition(".")
    written = yaml.safe_load(text) if text.startswith("[") else text
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({group: {name: written}} if group else {name: written}))
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "settings.yaml"))
    assert value(load(), entry.key) == by_flag
    assert origin(entry.key, {}) == str(tmp_path / "settings.yaml")


@each
def test_what_sounds_secret_is_never_shown(entry: Entry) -> None:
    words = {"secret", "key", "token", "password"} & set(entry.key.rpartition(".")[2].split("_"))
    secret = shown(entry.key, "something") == "***"
    is_text = str in (entry.annotation, *typing.get_args(entry.annotation))
    assert secret or not words or not is_text, f"annotate {entry.key} with Secret of penstock/settings.py"


def test_a_password_in_a_url_is_not_shown() -> None:
    assert shown("redis.url", "redis://me:hunter2@host:6379/0") == "redis://me:***@host:6379/0"
    with pytest.raises(ConfigurationError) as error:
        load({"redis.url": "http://me:hunter2@host"})
    assert "hunter2" not in str(error.value)
    assert "host" in str(error.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("gateway.hold", "write NAME=VALUE"),
        ("gateway.hodl=1s", "did you mean gateway.hold?"),
        ("gateway={}", "there is no setting gateway"),
        ("workers.gpus=[{", "write JSON"),
    ],
)
def test_a_flag_that_sets_nothing_is_told_so(given: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--set") as error:
        options.flags([given], {})
    assert says in str(error.value)


def test_a_flag_of_its_own_wins_over_set() -> None:
    assert options.flags(["gateway.port=1"], {"gateway.port": 2, "redis.url": None}) == {"gateway.port": 2}


def test_an_error_says_where_the_value_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("gateway: {port: http}\n")
    monkeypatch.setenv("PENSTOCK_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=f"^setting gateway.port: {file}: .*integer.*got 'http'"):
        load()
    monkeypatch.setenv("PENSTOCK_GATEWAY__PORT", "70000")
    with pytest.raises(ConfigurationError, match=r"^setting gateway\.port: PENSTOCK_GATEWAY__PORT: .*65535"):
        load()
    with pytest.raises(ConfigurationError, match=r"^setting gateway\.port: flag: .*got '-1'"):
        load({"gateway.port": "-1"})


def test_a_name_that_is_none_is_told_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_GATEWAY__MAXBODY", "1MiB")
    with pytest.raises(ConfigurationError, match=r"did you mean gateway\.max_body\?"):
        load()
