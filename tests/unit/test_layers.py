"""The import law of DESIGN.md §1: the layers by import-linter, and who may import which library by reading
every import statement."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("penstock", "gateway", "workers", "runtime")
IMPURE = frozenset({"redis", "aiohttp", "docker", "pynvml", "arq", "opentelemetry", "asyncio"})
POLICIES = (
    "gateway.access",
    "gateway.admission",
    "gateway.credentials",
    "gateway.local",
    "runtime.batching",
    "gateway.callbacks",
    "gateway.cloudevents",
    "workers.appearing",
    "workers.engines.pins",
    "workers.autoscaler",
    "workers.cards",
    "workers.circuits",
    "workers.claims",
    "workers.contact",
    "workers.crashloop",
    "workers.fairness",
    "workers.floor",
    "workers.history",
    "workers.keepalive",
    "workers.meter",
    "workers.odometer",
    "workers.placement",
    "workers.qualified",
    "workers.retries",
    "workers.rounds",
    "workers.tracking",
    "workers.verdict",
)
DOMAIN = tuple(
    f"penstock.{name}"
    for name in (
        "apikey",
        "batch",
        "billing",
        "costview",
        "cron",
        "delivery",
        "domains",
        "egress",
        "schema",
        "events",
        "errors",
        "fc.block",
        "fc.cards",
        "fc.container",
        "fc.destinations",
        "fc.document",
        "fc.domains",
        "fc.floor",
        "fc.gpu",
        "fc.mapping",
        "fc.names",
        "fc.notes",
        "fc.payloads",
        "fc.project",
        "fc.reading",
        "fc.schema",
        "fc.template",
        "fc.triggers",
        "function",
        "ids",
        "instance",
        "invocation",
        "keys",
        "limits",
        "listening.limits",
        "provision",
        "provisionfile",
        "schedule",
        "series",
        "telemetry.catalogue",
        "telemetry.names",
        "tracecontext",
        "timers",
        "triggers",
        "triggerview",
        "units",
        "usage",
        "vendors.fc",
        "vendors.replicate",
        "vendors.runpod",
        "versions",
        "wallclock",
    )
)


def find(root: Path) -> Mapping[str, Path]:
    """Every module below these packages, by its dotted name."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = find(ROOT)


@cache
def imports(module: str) -> frozenset[str]:
    """Dotted names that a module imports, wherever in it the statement stands."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return frozenset(imported(ast.parse(path.read_text()), package))


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            yield from names
            if not names <= set(MODULES):  # something that the package itself defines
                yield base


def tops(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


def reaches(module: str) -> set[str]:
    """Our modules that importing this one imports too, itself included."""
    found, ahead = set[str](), [module]
    while ahead:
        one = ahead.pop()
        if one in MODULES and one not in found:
            found.add(one)
            ahead += imports(one)
    return found


def importers(library: str) -> set[str]:
    return {module for module in MODULES if library in tops(module)}


def below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_import_linter_finds_every_contract_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


def test_every_policy_and_domain_file_is_there() -> None:
    assert set(POLICIES + DOMAIN) <= set(MODULES), "a rule about a file that was renamed guards nothing"


@pytest.mark.parametrize("module", [*POLICIES, *DOMAIN])
def test_policies_and_the_domain_are_pure(module: str) -> None:
    assert not tops(module) & IMPURE


@pytest.mark.parametrize("module", [*POLICIES, *DOMAIN])
def test_what_they_import_of_ours_is_as_pure(module: str) -> None:
    impure = {other: sorted(tops(other) & IMPURE) for other in reaches(module) if tops(other) & IMPURE}
    assert impure == {}


def test_the_simulation_decides_with_the_very_policies_and_touches_nothing_else() -> None:
    simulation = {module for module in MODULES if below(module, "workers.simulate")}
    known = {other for module in simulation for other in reaches(module)}
    assert {"workers.autoscaler", "workers.fairness", "workers.history", "workers.placement"} <= known
    assert {module: sorted(tops(module) & IMPURE) for module in known if tops(module) & IMPURE} == {}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("redis", "penstock.store"),
        ("docker", "workers.engines.docker"),
        ("pynvml", "workers.gpus"),
        ("opentelemetry", "penstock.telemetry"),
        ("boto3", "workers.buckets"),
        ("botocore", "workers.buckets"),
        ("typer", "penstock.cli"),
    ],
)
def test_a_library_has_one_place(library: str, allowed: str) -> None:
    assert [module for module in importers(library) if not below(module, allowed)] == []


def test_what_people_look_at_has_two_places() -> None:
    shows = {module for module in importers("rich") if not below(module, "penstock.cli")}
    assert shows == {"penstock.client.bar"}


def test_a_client_needs_nothing_of_a_deployment() -> None:
    program = "import sys, penstock.client.sync; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    imported = set(ast.literal_eval(subprocess.check_output([sys.executable, "-c", program], text=True)))
    assert "aiohttp" in imported
    assert imported & {"redis", "pydantic", "rich", "typer", "gateway", "workers", "docker", "arq"} == set()


def test_arq_has_two_places() -> None:
    assert importers("arq") <= {"workers.callbacks", "workers.deferred"}


def test_nobody_imports_the_runtime() -> None:
    assert {module for module in importers("runtime") if not below(module, "runtime")} == set()


def test_the_runtime_imports_its_http_server_and_the_standard_library_alone() -> None:
    allowed = sys.stdlib_module_names | {"runtime", "uvicorn", "httptools"}
    strangers = {module: sorted(tops(module) - allowed) for module in MODULES if below(module, "runtime")}
    assert {module: names for module, names in strangers.items() if names} == {}


def test_gateway_and_workers_do_not_know_each_other() -> None:
    for one, other in (("gateway", "workers"), ("workers", "gateway")):
        assert {module for module in importers(other) if below(module, one)} == set()


def test_only_the_command_line_knows_gateway_and_workers() -> None:
    for package in ("gateway", "workers"):
        known = {module for module in importers(package) if below(module, "penstock")}
        assert {module for module in known if not below(module, "penstock.cli")} == set()


def test_nothing_imports_the_command_line() -> None:
    knows = {module for module in MODULES if any(below(name, "penstock.cli") for name in imports(module))}
    assert {module for module in knows if not below(module, "penstock.cli")} == set()


def test_the_gateway_knows_no_container_and_the_workers_no_client_connection() -> None:
    assert {module for module in importers("docker") | importers("psutil") if below(module, "gateway")} == set()
    serves = {module for module in MODULES if "aiohttp.web" in imports(module) and below(module, "workers")}
    expected = {"workers.inner", "workers.pull_routes", "workers.ops"}
    assert serves == expected, "gateways, instances and operators reach it, no client does"


def test_there_are_no_import_cycles() -> None:
    for module in MODULES:
        around = {
            other
            for other in imports(module)
            if other in MODULES and not below(module, other) and not below(other, module)
            if module in reaches(other)
        }
        assert around == set(), f"{module} imports what imports it"


def test_a_forbidden_import_would_be_seen() -> None:
    # The reader itself: an import inside a function, a relative one, one under another name.
    text = """
import os.path
def f():
    from redis.asyncio import Redis as R
from . import sibling
from ..up import x
"""
    found = set(imported(ast.parse(text), "workers.engines"))
    assert {"os.path", "redis.asyncio", "workers.engines.sibling", "workers.up"} <= found
