"""examples/embed for tests and benches: a deployment whose environment is kept from run to run, and its models."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.e2e.harness import Json, Stack

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed"
KEPT = Path.home() / ".cache" / "penstock-tests" / "environments"
"""1.6 GB for each version of the example's requirements and of the runtime."""
_DAY = 86_400
THREAD = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
SIMILARITIES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
"""What the README of sentence-transformers prints for these sentences and this model."""


def keep_environments(stack: Stack) -> None:
    """Before it starts: installing takes minutes."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for made in KEPT.glob("*/complete"):
        if time.time() - made.stat().st_mtime > _DAY:
            shutil.rmtree(made.parent, ignore_errors=True)
    stack.data_dir.mkdir(parents=True, exist_ok=True)
    (stack.data_dir / "environments").symlink_to(KEPT)


def deploy(stack: Stack, specs: dict[str, Json]) -> None:
    file = stack.write_specs(specs)
    done = stack.cli("deploy", "-f", str(file), "--redis-url", stack.redis.url, timeout=900)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def interpreter(stack: Stack) -> Path:
    """Of the environment of examples/embed, once it is deployed."""
    requirements = (EXAMPLE / "requirements.txt").read_bytes()
    made = [
        path.parent
        for path in (stack.data_dir / "environments").glob("*/requirements.txt")
        if path.read_bytes() == requirements and (path.parent / "complete").exists()
    ]
    newest = max(made, key=lambda folder: (folder / "complete").stat().st_mtime)
    return newest / "bin" / "python"


def export(python: Path, folder: Path) -> None:
    """The ONNX models, made as the README says."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "onnx==1.23.2"]
    for command in (pip, [str(python), str(EXAMPLE / "export.py"), str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr


def spec(encoder: str, models: Path, **more: object) -> Json:
    return {
        "path": str(EXAMPLE),
        "event": "json",
        "batch": {"max_size": 32, "max_wait": "10ms"},
        "env": {**THREAD, "ENCODER": encoder, "MODEL_DIR": str(models)},
        "scaling": {"max": 1, "idle_timeout": "60s"},
        **more,
    }
