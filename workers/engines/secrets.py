"""A function's secrets on their way from the folder of the workers to an instance."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping

from penstock.errors import ConfigurationError
from penstock.function import FunctionSpec
from penstock.secretfiles import SecretFiles
from workers.engines import EngineError

_KEEPER = 65_533
"""Whose they are in a container: nobody's there, so that nobody there can open, change or lengthen them."""
_USER = re.compile(r"\d+:(\d+)")


def read(files: SecretFiles, spec: FunctionSpec) -> Mapping[str, bytes]:
    """The values that an instance gets, by name. Raises EngineError, which says which is missing."""
    try:
        return {name: files.read(name) for name in spec.secrets}
    except ConfigurationError as error:
        raise EngineError(str(error)) from None


def archive(values: Mapping[str, bytes], user: str) -> bytes:
    """A tar of them. The group of `user` may read them; all of the container may, if that group has no number."""
    group = _USER.fullmatch(user)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, value in values.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(value)
            entry.uid = entry.gid = _KEEPER
            entry.mode = 0o444
            if group is not None:
                entry.gid, entry.mode = int(group[1]), 0o440
            tar.addfile(entry, io.BytesIO(value))
    return packed.getvalue()
