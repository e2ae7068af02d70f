"""Templates are filled in before a file means anything, and can change nothing but their own place."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import ConfigurationError
from tests.unit.penstock.fc.files import FC, fc3, only, read

HEAD = (
    "edition: 3.0.0\nvars:\n  size: 4096\n  deep: {image: 'm:1', env: {A: 1, B: two}}\n  flag: true\nresources:\n"
)


def with_props(props: str) -> str:
    """From line 10 on."""
    return f"{HEAD}  f:\n    component: fc3\n    props:\n" + "".join(
        f"      {line}\n" for line in props.split("\n")
    )


def test_a_value_alone_keeps_its_type_and_one_within_text_is_text(tmp_path: Path) -> None:
    props = """functionName: f-${vars.size}
memorySize: ${vars.size}
environmentVariables: ${vars.deep.env}
customContainerConfig: {image: ${vars.deep.image}}"""
    found = only(tmp_path, with_props(props))
    assert found.function == "f-4096"
    assert found.spec.resources.memory == 4096 * 2**20
    assert found.spec.env == {"A": "1", "B": "two"}
    assert found.spec.image == "m:1"


def test_double_braces_are_variables(tmp_path: Path) -> None:
    props = "functionName: f\nmemorySize: {{ size }}\ncustomContainerConfig: {image: {{ deep.image }}}"
    found = only(tmp_path, with_props(props))
    assert (found.spec.resources.memory, found.spec.image) == (4096 * 2**20, "m:1")


def test_the_environment_and_paths(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    props = """functionName: ${env(NAME)}
runtime: python3.10
code: ${path(./code)}
handler: index.handler
timeout: ${env('SECONDS', '7')}
description: ${env(EVIL)}
region: ${this.props.functionName}"""
    project = read(
        tmp_path, with_props(props), {"NAME": "from-env", "EVIL": "x\n      timeout: 99\n# ${vars.size}"}
    )
    (found,) = project.functions
    assert found.function == "from-env"
    assert found.spec.path == str(tmp_path / "code")
    assert (found.spec.handler, found.spec.timeout) == ("index:handler", 7)
    assert found.region == "from-env"


def test_what_nobody_knows_is_left_as_it_is_with_a_warning(tmp_path: Path) -> None:
    props = """functionName: f
environmentVariables:
  MODEL: ${model.output.path}
  SHELL: a ${HOME} b
  TOKEN: ${env(NOT_SET)}
  TEXT: {{ unheard }}
customContainerConfig: {image: i}  # ${in.a.comment}"""
    project = read(tmp_path, with_props(props))
    (found,) = project.functions
    assert found.spec.env == {
        "MODEL": "${model.output.path}",
        "SHELL": "a ${HOME} b",
        "TOKEN": "${env(NOT_SET)}",
        "TEXT": "{{ unheard }}",
    }
    inside = "resources.f.props.environmentVariables"
    file = tmp_path / "s.yaml"
    assert project.notes.warnings == (
        f"{file}:12: {inside}.MODEL: ${{model.output.path}} is left as it is: it is no field of this file",
        f"{file}:13: {inside}.SHELL: ${{HOME}} is left as it is: it is no field of this file",
        f"{file}:14: {inside}.TOKEN: ${{env(NOT_SET)}} is left as it is: NOT_SET is not in the environment",
        f"{file}:15: {inside}.TEXT: {{{{ unheard }}}} is left as it is: nothing in this file is called unheard",
    )


def test_variables_may_refer_to_others_but_not_in_a_circle(tmp_path: Path) -> None:
    text = fc3(timeout="${vars.a}") + "vars: {a: '${vars.b}', b: '${env(N)}'}\n"
    assert only(tmp_path, text, {"N": "5"}).spec.timeout == 5
    with pytest.raises(ConfigurationError, match=r"refer to each other in a circle"):
        read(tmp_path, fc3(timeout="${vars.a}") + "vars: {a: '${vars.b}', b: 'x${vars.a}'}\n")
    with pytest.raises(ConfigurationError, match=r"refer to each other in a circle"):
        read(tmp_path, fc3(environmentVariables="${vars.a}") + "vars: {a: {b: '${vars.a}'}}\n")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("flag", True),
        ("!flag", False),
        ("(size)", True),
        ("size == '4096'", True),
        ("size != 4096", False),
        ("vars.deep.image == 'm:1'", True),
        ("flag == true", True),
    ],
)
def test_lines_of_an_if(tmp_path: Path, condition: str, holds: bool) -> None:
    props = f"""functionName: f
{{{{ if {condition} }}}}
timeout: 11
{{{{ else }}}}
timeout: 22
{{{{ endif }}}}
customContainerConfig: {{image: i}}"""
    project = read(tmp_path, with_props(props))
    (found,) = project.functions
    assert found.spec.timeout == (11 if holds else 22)
    assert project.notes.warnings == ()


def test_one_if_in_another_and_else_if(tmp_path: Path) -> None:
    props = """functionName: f
{{ if nobody }}
timeout: 1
{{ else if flag }}
{{ if size == 1 }}
timeout: 2
{{ elif size == 4096 }}
timeout: 3
{{ else }}
timeout: 4
{{ /if }}
{{ else }}
timeout: 5
{{ endif }}
customContainerConfig: {image: i}
typo: 1"""
    project = read(tmp_path, with_props(props))
    assert project.functions[0].spec.timeout == 3
    file = tmp_path / "s.yaml"
    assert project.notes.warnings == (
        f"{file}:11: {{{{ if nobody }}}} does not hold: there is no variable nobody",
        f"{file}:25: resources.f.props.typo: unknown field, ignored",
    ), "lines keep their numbers"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{{ if a && b }}\n{{ endif }}", "is not understood: write NAME, !NAME or NAME == 'x'"),
        ("{{ endif }}", "without an {{ if }} before it"),
        ("{{ if flag }}", "without its {{ endif }}"),
    ],
)
def test_an_if_that_is_none_is_warned_about(tmp_path: Path, line: str, says: str) -> None:
    project = read(tmp_path, with_props(f"functionName: f\ncustomContainerConfig: {{image: i}}\n{line}"))
    assert says in project.notes.warnings[0]


def test_an_access_in_braces_is_a_mapping(tmp_path: Path) -> None:
    assert only(tmp_path, FC).function == "text-detection"
