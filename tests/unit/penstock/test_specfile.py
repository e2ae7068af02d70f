"""Spec files: what is right is read, and what is wrong is told with its line, its path and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock import specfile
from penstock.errors import ConfigurationError
from penstock.function import FunctionSpec


def load(tmp_path: Path, text: str | bytes) -> dict[str, FunctionSpec]:
    file = tmp_path / "penstock.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return specfile.load(file)


def refused(tmp_path: Path, text: str | bytes) -> str:
    """What is said, without the folder of the file."""
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, text)
    said = str(error.value).replace(f"{tmp_path}/", "")
    assert "\n" not in said, "one line"
    return said


WHOLE = """
functions:
  sentiment:
    path: ./sentiment
    handler: app:handler
    event: json
    concurrency: 4
    timeout: 90s
    env: {LOG_LEVEL: info, WORKERS: 2, RATIO: 0.5}
    resources: {cpu: 0.5, memory: 512MiB, shm_size: 128MiB}
    lifecycle: {initialize: {path: /initialize, timeout: 60s}, pre_stop: {path: /pre-stop, timeout: 5s}}
    scaling: {min: 1, max: 3, idle_timeout: 5m, max_queue_wait: 15s}
    queue: {max_depth: 10, max_age: 24h}
    retry: {attempts: 5, backoff: 500ms, max_backoff: 5m, on: [408, 503], held: true}
    network: none
  other:
    image: my/model:1
    command: [serve, --port, "9000"]
    volumes: ["/srv/models:/models:ro"]
"""


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "sentiment").mkdir()
    specs = load(tmp_path, WHOLE)
    assert list(specs) == ["sentiment", "other"]
    sentiment = specs["sentiment"]
    assert sentiment.env == {"LOG_LEVEL": "info", "WORKERS": "2", "RATIO": "0.5"}
    assert (sentiment.timeout, sentiment.resources.memory) == (90.0, 512 * 2**20)
    assert sentiment.scaling.max_queue_wait == 15.0
    assert (sentiment.retry.attempts, sentiment.retry.on, sentiment.retry.held) == (5, (408, 503), True)
    assert specs["other"].command == ("serve", "--port", "9000")


def test_retry_on_is_no_boolean(tmp_path: Path) -> None:
    # To YAML 1.1 the plain word `on` is true, and PyYAML reads YAML 1.1.
    specs = load(tmp_path, "functions:\n  f:\n    image: x\n    retry:\n      on: [500, 503]\n")
    assert specs["f"].retry.on == (500, 503)


def test_an_environment_is_text_as_it_was_written(tmp_path: Path) -> None:
    specs = load(tmp_path, "functions: {f: {image: x, env: {A: 1, B: 'yes', C: '010', D: 1.50}}}")
    assert specs["f"].env == {"A": "1", "B": "yes", "C": "010", "D": "1.5"}


def test_json_is_yaml(tmp_path: Path) -> None:
    text = json.dumps({"functions": {"f": {"image": "x", "retry": {"on": [503]}, "timeout": "5s"}}}, indent=2)
    assert load(tmp_path, text)["f"].timeout == 5.0


def test_a_path_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "specs" / "penstock.yaml").write_text("functions: {f: {path: ../code}}")
    monkeypatch.chdir("/")
    assert specfile.load(tmp_path / "specs" / "penstock.yaml")["f"].path == str((tmp_path / "code").resolve())


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    assert load(tmp_path, f"functions: {{f: {{path: {tmp_path}/code}}}}")["f"].path == str(tmp_path / "code")


def test_a_path_has_a_handler_unless_told_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, "functions: {f: {path: .}}")["f"].handler == "app:handler"


def test_a_file_may_hold_no_function(tmp_path: Path) -> None:
    assert load(tmp_path, "functions: {}") == {}


@pytest.mark.parametrize(
    ("spec", "line", "says"),
    [
        (
            "    imagee: x",
            3,
            "functions.f.imagee: unknown field; did you mean image? allowed are auth, batch, callbacks,",
        ),
        (
            "    image: x\n    zzz: 1",
            4,
            "functions.f.zzz: unknown field; allowed are auth, batch, callbacks, command, concurrency,",
        ),
        (
            "    image: x\n    scaling:\n      min: 0\n      maxx: 3",
            6,
            "functions.f.scaling.maxx: unknown field; did you mean max? allowed are buffer, idle_timeout, max,",
        ),
        (
            "    image: x\n    lifecycle:\n      initialize: {path: /i, timeout: 5s, timeot: 5s}",
            5,
            "functions.f.lifecycle.initialize.timeot: unknown field; did you mean timeout? allowed are path, t",
        ),
        (
            "    image: x\n    scaling: {min: 0,\n      max: none}",
            5,
            "functions.f.scaling.max: input should be a valid integer, unable to parse string as an integer (got",
        ),
        (
            "    image: x\n    timeout: 5 parsecs",
            4,
            "functions.f.timeout: '5 parsecs' is not a duration; write a number and ms, s, m, h or d, as in 90s",
        ),
        ("    image: x\n    timeout: 5GiB", 4, "functions.f.timeout: '5GiB' is not a duration"),
        ("    image: x\n    timeout: 0s", 4, "functions.f.timeout: input should be greater than or equal to 1"),
        ("    image: x\n    timeout: 8d", 4, "functions.f.timeout: input should be less than or equal to 604800"),
        (
            "    image: x\n    resources: {memory: 5m}",
            4,
            "functions.f.resources.memory: '5m' is not a size; write a number and B, KiB, MiB, GiB",
        ),
        ("    image: x\n    event: xml", 4, "functions.f.event: input should be 'bytes' or 'json' (got 'xml')"),
        (
            "    image: x\n    volumes:\n      - /a:/b\n      - data",
            4,
            "functions.f.volumes: 'data' is not /host/path:/container/path",
        ),
        (
            "    image: x\n    command:\n      - sh\n      - [1]",
            6,
            "functions.f.command.1: input should be a valid string",
        ),
        ("    image: x\n    env: {A: [1]}", 4, "functions.f.env.A: input should be a valid string (got [1])"),
        (
            "    path: .\n    image: x",
            2,
            "functions.f: path stands alone: give path (a Python handler), image or command",
        ),
        (
            "    timeout: 5s",
            2,
            "functions.f: nothing to run: give path (a folder with a Python handler), image or command",
        ),
        ("    path: .\n    handler: app", 4, "functions.f.handler: "),
        (
            "    image: x\n    scaling: {min: 3, max: 2}",
            4,
            "functions.f.scaling: min (3) must not be larger than max (2)",
        ),
        ("    path: ./gone", 3, "functions.f.path: gone is not a folder"),
    ],
)
def test_what_is_wrong_is_told_with_line_path_and_what_is_allowed(
    tmp_path: Path, spec: str, line: int, says: str
) -> None:
    said = refused(tmp_path, f"functions:\n  f:\n{spec}\n")
    assert said.startswith(f"penstock.yaml:{line}: {says}")


def test_the_second_function_has_its_own_lines(tmp_path: Path) -> None:
    said = refused(tmp_path, "functions:\n  a: {image: x}\n  b:\n    image: y\n    prot: 1\n")
    assert said.startswith("penstock.yaml:5: functions.b.prot: unknown field; did you mean port?")


def test_a_field_that_came_by_a_merge_is_told_where_it_stands(tmp_path: Path) -> None:
    text = "functions:\n  a: &base\n    image: x\n  b:\n    <<: *base\n    prot: 1\n"
    assert refused(tmp_path, text).startswith("penstock.yaml:6: functions.b.prot")


@pytest.mark.parametrize("name", ["Bad", "-x", "_x", "a.b", "'a b'", "ü", "'ps:{x}'", "x" * 64])
def test_a_name_must_be_one(tmp_path: Path, name: str) -> None:
    said = refused(tmp_path, f"functions:\n  {name}: {{image: x}}\n")
    assert said.startswith("penstock.yaml:2: functions.")
    assert "a name is lower-case letters, digits, - and _, at most 63, and starts with a letter or digit" in said


def test_a_number_can_be_a_name(tmp_path: Path) -> None:
    assert list(load(tmp_path, "functions: {7: {image: x}}")) == ["7"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "penstock.yaml: it must hold `functions:`, a mapping of names to specs"),
        ("functions:", "penstock.yaml: it must hold `functions:`"),
        ("functions: []", "penstock.yaml: it must hold `functions:`"),
        ("- a", "penstock.yaml: it must hold `functions:`"),
        (
            "edition: 3.0.0\nresources: {}",
            "penstock.yaml: it must hold `functions:`, a mapping of names to specs; an s.yaml of Function Compute "
            "is deployed by `penstock deploy -t`",
        ),
        ("text", "penstock.yaml: it must hold `functions:`"),
        ("functions: {f: null}", "penstock.yaml:1: functions.f: input should be a valid dictionary"),
        ("functions: {f: text}", "penstock.yaml:1: functions.f: input should be a valid dictionary"),
        (
            "functions: {f: {image: x}}\nfunction: {}",
            "penstock.yaml:2: function: unknown; only functions: and domains: are read",
        ),
        ("functions: {f: {image: x}", "penstock.yaml:1: not YAML: "),
        ("functions:\n\t- x", "penstock.yaml:2: not YAML: "),
        ("a: b: c", "penstock.yaml:1: not YAML: "),
        ("functions: {f: !!python/object:os.system {}}", "penstock.yaml:1: not YAML: "),
        ("functions: {}\n---\nfunctions: {}", "penstock.yaml:2: not YAML: "),
        ("functions: *nowhere", "penstock.yaml:1: not YAML: "),
        (b"functions: \x00", "penstock.yaml: not YAML: "),
        (b"functions: \xff\xfe\xfd", "penstock.yaml: "),
        (b"\x7fELF\x02\x01\x01\x00\x90\x91", "penstock.yaml: "),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert refused(tmp_path, text).startswith(says)


def test_a_file_that_refers_to_itself_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "functions: &a {f: *a}").startswith("penstock.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        specfile.load(tmp_path / "gone.yaml")
    assert str(error.value) == f"{tmp_path}/gone.yaml: No such file or directory"
    with pytest.raises(ConfigurationError, match="Is a directory"):
        specfile.load(tmp_path)


def test_the_examples_are_right() -> None:
    file = Path(__file__).parents[3] / "examples" / "penstock.yaml"
    assert {"echo", "sentiment"} <= set(specfile.load(file))


def test_domains(tmp_path: Path) -> None:
    (file := tmp_path / "penstock.yaml").write_text(
        "functions: {f: {image: x}}\n"
        "domains:\n"
        "  Chat.Example.com: f@prod\n"
        "  shop.example.com: {routes: [{path: /a/*, function: f, qualifier: 3}]}\n".replace("3}", "'3'}")
    )
    found = specfile.read(file)
    assert list(found.functions) == ["f"]
    assert found.domains["chat.example.com"].routes[0].function == "f@prod"
    assert found.domains["shop.example.com"].routes[0].qualifier == "3"


@pytest.mark.parametrize(
    ("domains", "says"),
    [
        ("[]", "penstock.yaml:2: domains: must be a mapping"),
        ("{a b: f}", "penstock.yaml:2: domains.a b: 'a b' is no host name"),
        (
            "{a.example: {routes: []}}",
            "penstock.yaml:2: domains.a.example.routes: tuple should have at least 1 item",
        ),
        (
            "{a.example: {routes: [{function: f, pth: /}]}}",
            "penstock.yaml:2: domains.a.example.routes.0.pth: unknown field; did you mean path?",
        ),
        ("{a.example: {routes: [{function: f, path: a}]}}", "penstock.yaml:2: domains.a.example.routes.0.path: "),
        ("{a.example: 3}", "penstock.yaml:2: domains.a.example: input should be a valid dictionary"),
    ],
)
def test_a_domain_that_cannot_be(tmp_path: Path, domains: str, says: str) -> None:
    assert refused(tmp_path, f"functions: {{f: {{image: x}}}}\ndomains: {domains}").startswith(says)
