"""The secrets of functions: files of one folder, each named as its secret, that only their owner may read.

Their values go from here to an instance and nowhere else: into no record, log, label or error.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import ConfigurationError
from penstock.function import SECRET

LONGEST = 64 * 1024
"""Bytes of a secret; a longer one could not stand in an environment variable together with others."""


class SecretFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes:
        """The value. Raises ConfigurationError, which says what is wrong with its file, and what to do."""
        path = self.folder / name
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                value = file.read(LONGEST + 1)
        except FileNotFoundError:
            raise ConfigurationError(
                f"secret {name} is not in {self.folder}: put it there with `penstock secrets set {name}`"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"secret {name}: {path} cannot be read: {error.strerror}") from None
        if mode & 0o007:
            raise ConfigurationError(f"secret {name}: everybody on this machine may read {path}: chmod 600 {path}")
        if len(value) > LONGEST:
            raise ConfigurationError(f"secret {name}: {path} is longer than {LONGEST // 1024} KiB")
        return value

    def check(self, names: Sequence[str]) -> None:
        """Raises ConfigurationError for the first that instances could not be given."""
        for name in names:
            self.read(name)

    def names(self) -> list[str]:
        """Those that are there, by name."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(one.name for one in self.folder.iterdir() if SECRET.fullmatch(one.name))
        return []

    def put(self, name: str, value: bytes) -> None:
        """Whoever reads meanwhile gets the old value or the new one. Raises ConfigurationError, OSError."""
        if not SECRET.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of a secret: write letters, digits and _, as HF_TOKEN")
        if not value or len(value) > LONGEST:
            raise ConfigurationError(f"a secret has 1 to {LONGEST} bytes, and this one {len(value)}")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(prefix=".", dir=self.folder)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(value)
            Path(path).replace(self.folder / name)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> bool:
        """False if it was not there."""
        if name not in self.names():
            return False
        (self.folder / name).unlink()
        return True


def as_text(value: bytes) -> str | None:
    """As an environment variable has it, without the newline that ends its file; None: it is no text."""
    try:
        text = value.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
