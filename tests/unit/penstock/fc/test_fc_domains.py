"""Custom domains of an s.yaml, in both editions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import specfile
from penstock.errors import ConfigurationError
from penstock.fc.project import Project
from tests.unit.penstock.fc.files import FC, fc3, read

ROUTES = "routeConfigs"


def older(*domains: str) -> str:
    """A file of edition 1.0.0 with these entries of customDomains."""
    return FC + "".join(["      customDomains:\n", *(f"        - {one}\n" for one in domains)])


def newer(props: str) -> str:
    """A file of edition 3.0.0 with a component of its own."""
    return fc3(functionName="Fn") + f"  domain:\n    component: fc3-domain\n    props: {props}\n"


def routes(project: Project, name: str) -> list[dict[str, Any]]:
    return [one.model_dump(exclude_defaults=True) for one in project.domains[name].routes]


def test_a_domain_beside_a_function_of_1_0_0(tmp_path: Path) -> None:
    text = older(
        "{domainName: Api.Example.com, protocol: HTTP, routeConfigs: [{path: /a/*, methods: [get]}, {path: /b, "
        "serviceName: best-practice-service, functionName: text-detection, qualifier: prod}]}",
        "plain.example.com",
    )
    project = read(tmp_path, text)
    assert routes(project, "api.example.com") == [
        {"path": "/a/*", "function": "text-detection", "methods": ("GET",)},
        {"path": "/b", "function": "text-detection", "qualifier": "prod"},
    ]
    assert routes(project, "plain.example.com") == [{"function": "text-detection"}], "all of it is the function's"


def test_a_component_of_3_0_0(tmp_path: Path) -> None:
    rules = "{equalRules: [{match: /x, replacement: /y}], wildcardRules: [{match: /a/*, replacement: /b/$1}]}"
    route = f"{{path: /*, functionName: Fn, qualifier: LATEST, rewriteConfig: {rules}}}"
    text = newer(f"{{domainName: a.example, protocol: 'HTTP,HTTPS', routeConfig: {{routes: [{route}]}}}}")
    project = read(tmp_path, text)
    (only,) = project.domains["a.example"].routes
    assert (only.function, only.qualifier) == ("fn", None)
    assert [only.rewritten(path) for path in ("/x", "/a/1", "/z")] == ["/y", "/b/1", "/z"]
    assert not [one for one in project.notes.warnings if "domain" in one]


def test_functions_of_other_files_keep_the_vendors_names(tmp_path: Path) -> None:
    given = "[{path: /a, functionName: Other}, {path: /b, serviceName: S, functionName: Other}]"
    text = newer(f"{{domainName: a.example, routeConfig: {{routes: {given}}}}}")
    assert [one["function"] for one in routes(read(tmp_path, text), "a.example")] == ["Other", "S/Other"]


def test_several_entries_of_one_name_are_one_domain(tmp_path: Path) -> None:
    project = read(
        tmp_path,
        older(
            "{domainName: a.example, routeConfigs: [{path: /a}]}",
            "{domainName: A.example, routeConfigs: [{path: /b}]}",
        ),
    )
    assert [one["path"] for one in routes(project, "a.example")] == ["/a", "/b"]


@pytest.mark.parametrize(
    ("props", "says"),
    [
        ("{domainName: a.example, routeConfig: {routes: [{path: /a}]}}", "the route /a names no function"),
        (
            "{domainName: localhost, routeConfig: {routes: [{functionName: Fn}]}}",
            "domainName: 'localhost' is where",
        ),
        ("{domainName: a b, routeConfig: {routes: [{functionName: Fn}]}}", "domainName: 'a b' is no host name"),
        ("{domainName: a.example, routeConfig: {routes: [{functionName: Fn, path: x}]}}", "routes.0.path"),
        ("{domainName: a.example, routeConfig: {routes: [{functionName: Fn, methods: [GOT]}]}}", "methods.0"),
        ("{routeConfig: {routes: []}}", "domainName: field required"),
        (
            "{domainName: a.example, routeConfig: {routes: [{functionName: Fn}, {functionName: Fn}]}}",
            "two routes are for /*",
        ),
    ],
)
def test_one_clear_line_for_each_mistake(tmp_path: Path, props: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, newer(props))
    said = str(raised.value)
    assert says in said
    assert "s.yaml:" in said
    assert "\n" not in said


def test_what_has_no_counterpart_is_warned_about(tmp_path: Path) -> None:
    route = "{functionName: Fn, rewriteConfig: {regexRules: [{match: ^/a, replacement: /b}]}}"
    props = f"{{domainName: a.example, protocol: HTTPS, certConfig: {{}}, routeConfig: {{routes: [{route}]}}}}"
    said = "\n".join(read(tmp_path, newer(props)).notes.warnings)
    assert "regexRules are ignored" in said
    assert "protocol HTTPS is up to the gateway" in said


def test_a_spec_file_of_it_reads_the_same(tmp_path: Path) -> None:
    project = read(tmp_path, older("{domainName: a.example, routeConfigs: [{path: /a/*, qualifier: prod}]}"))
    (file := tmp_path / "penstock.yaml").write_text(specfile.dump(project.specs, project.domains))
    assert specfile.read(file) == project.wanted
