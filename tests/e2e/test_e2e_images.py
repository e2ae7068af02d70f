"""From a template to a deployed image, with the commands that a user types and the lines that they print."""

from __future__ import annotations

import secrets

import yaml

from tests.conftest import missing
from tests.e2e.harness import Stack, docker_answers, docker_client


def test_the_lines_that_build_prints_deploy_the_image() -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    tag = f"penstock-e2e/built:{secrets.token_hex(4)}"
    with Stack("docker") as stack:
        stack.start()
        folder = stack.folder / "greeter"
        assert stack.cli("init", str(folder), "--template", "lambda").returncode == 0
        built = stack.cli("build", str(folder), "-t", tag, timeout=120)
        assert built.returncode == 0, built.stderr
        assert tag in built.stderr
        try:
            stack.deploy(yaml.safe_load(built.stdout)["functions"])
            reply = stack.call("greeter", '{"name": "you"}', headers={"Content-Type": "application/json"})
            assert (reply.status_code, reply.text) == (200, "hello you"), reply.text
            (container,) = stack.containers("greeter")
            # By its content: whatever the tag is given to later, this revision stays what it is.
            assert container.attrs["Image"] == docker_client().images.get(tag).id
        finally:
            stack.remove_containers()
            docker_client().images.remove(tag, force=True)
