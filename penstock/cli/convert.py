"""`penstock convert`: an s.yaml as a spec file of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock import specfile
from penstock.cli import syaml


def convert(
    file: Annotated[Path, typer.Argument(help="A Function Compute s.yaml (editions 1.0.0 and 3.0.0).")],
) -> None:
    """Print a Function Compute s.yaml as a spec file for `penstock deploy -f`."""
    project = syaml.read(file)
    syaml.warn(project)
    typer.echo(specfile.dump(project.specs, project.domains), nl=False)
