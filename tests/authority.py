"""A certificate authority for tests, which openssl makes anew each time."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

from tests.conftest import missing

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


class Authority:
    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            missing("openssl")
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl("req", "-x509", *_CURVE, "-nodes", "-days", "2", "-subj", "/CN=Tests",
                      "-keyout", str(self._key), "-out", str(self.certificate))  # fmt: skip

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for localhost, and its key."""
        cert, key, request = (self._folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        names = self._folder / "names"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("req", *_CURVE, "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        self._openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key),
                      "-CAcreateserial", "-days", "2", "-extfile", str(names), "-out", str(cert))  # fmt: skip
        return cert, key

    def encrypted_key(self) -> Path:
        _, key = self.issue("encrypted")
        self._openssl("ec", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(key) + ".aes")
        return Path(str(key) + ".aes")

    def trusting(self) -> ssl.SSLContext:
        """Of a client that trusts this authority alone."""
        return ssl.create_default_context(cafile=self.certificate)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
