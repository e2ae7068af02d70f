"""Files of Function Compute's tool for the tests: written here in both editions, and those of the documents that
lie beside a checkout, where they do."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

from penstock.fc.project import Project, VendorsFunction, load

DOCUMENTS = Path(__file__).parents[5] / "shared" / "seeds"

FC = """\
edition: 1.0.0
name: demo
access: {access}
vars:
  region: eu-central-1
services:
  best-practice:
    component: devsapp/fc
    props:
      region: ${vars.region}
      service:
        name: best-practice-service
        internetAccess: true
        logConfig: {project: log-1, logstore: config-1}
      function:
        name: text-detection
        handler: not-used
        timeout: 1200
        caPort: 9000
        memorySize: 8192
        cpu: 2
        gpuMemorySize: 8192
        diskSize: 512
        instanceType: fc.gpu.tesla.1
        instanceConcurrency: 1
        runtime: custom-container
        environmentVariables:
          FCGPU_RUNTIME_SHMSIZE : '8589934592'
        customContainerConfig:
          image: registry.example.com/demo/text-detection:v1
          accelerationType: Default
      triggers:
        - name: httpTrigger
          type: http
          config:
            authType: anonymous
            methods:
              - GET
              - POST
"""
"""What a file of edition 1.0.0 has."""

FC3 = """\
edition: 3.0.0
name: demo
access: default
vars:
  region: eu-central-1
resources:
  detection:
    component: fc3
    props:
      region: ${vars.region}
      functionName: text-detection
      runtime: custom-container
      timeout: 1200
      memorySize: 8192
      cpu: 2
      diskSize: 512
      instanceConcurrency: 1
      gpuConfig: {gpuMemorySize: 8192, gpuType: fc.gpu.tesla.1}
      internetAccess: true
      environmentVariables: {FCGPU_RUNTIME_SHMSIZE: '8589934592'}
      customContainerConfig:
        image: registry.example.com/demo/text-detection:v1
        port: 9000
      triggers:
        - triggerName: httpTrigger
          triggerType: http
          triggerConfig: {authType: anonymous, methods: [GET, POST]}
"""
"""The same function in edition 3.0.0."""


def read(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Project:
    file = folder / "s.yaml"
    file.write_text(text)
    return load(file, environment or {})


def only(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> VendorsFunction:
    (function,) = read(folder, text, environment).functions
    return function


def fc3(**props: object) -> str:
    """A file of edition 3.0.0 with these fields of `props`, from line 8 on, below a name and an image."""
    given = {"functionName": "f", "customContainerConfig": {"image": "i"}, **props}
    lines = [f"      {name}: {json.dumps(value)}" for name, value in given.items() if value is not None]
    return "\n".join(["edition: 3.0.0", "resources:", "  f:", "    component: fc3", "    props:", *lines, ""])


def of_documents() -> dict[str, str]:
    """The s.yaml files that the documents print, by the name of the document."""
    found = {}
    for document in sorted(DOCUMENTS.glob("*.txt")):
        block = re.search(r"^([ ]*)edition: .*\n(?:\1.*\n|\s*\n)+", document.read_text(), re.MULTILINE)
        if block is not None:
            found[document.stem] = textwrap.dedent(block[0])
    return found
