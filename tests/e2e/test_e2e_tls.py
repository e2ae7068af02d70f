"""`penstock up` with a certificate: https for curl's kind of client, for Python's and for the command line."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import requests

from penstock.client import Unreachable
from penstock.client.sync import Client
from tests.authority import Authority
from tests.e2e import specs
from tests.e2e.harness import Stack


def test_up_speaks_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gateway")
    with Stack("process") as stack:
        url = f"https://127.0.0.1:{stack.port}"
        file = stack.write_specs({"echo": specs.folder("echo")})
        flags = ("--port", str(stack.port), "-f", str(file), "--tls-cert", str(cert), "--tls-key", str(key))
        up = stack.run("up", *flags)
        up.says(f"curl -i -d 'Nice to meet you' {url}", timeout=60)

        invocations = f"{url}/v1/functions/echo/invocations"
        reply = requests.post(invocations, data=b"hello", verify=str(authority.certificate), timeout=20)
        assert (reply.status_code, reply.content) == (200, b"hello")
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(invocations, data=b"hello", timeout=20)
        with pytest.raises(requests.ConnectionError):
            requests.post(invocations.replace("https:", "http:"), data=b"hello", timeout=20)

        said = stack.cli("invoke", "echo", "-d", "hello", "--url", url, CA=str(authority.certificate))
        assert (said.returncode, said.stdout.strip()) == (0, "hello"), said.stderr
        said = stack.cli("invoke", "echo", "-d", "hello", "--url", url)
        assert said.returncode != 0
        assert "name the file of its authority in PENSTOCK_CA" in said.stderr

        monkeypatch.setenv("PENSTOCK_CA", str(authority.certificate))
        with Client(url, retries=0) as client:
            assert client.invoke("echo", b"hello").content == b"hello"
        monkeypatch.delenv("PENSTOCK_CA")
        with Client(url, retries=0) as client, pytest.raises(Unreachable, match="is not trusted"):
            client.invoke("echo", b"hello")
        assert up.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("command", ["up", "gateway"])
def test_a_certificate_that_is_none_ends_with_one_line(command: str, tmp_path: Path) -> None:
    with Stack("process") as stack:
        (tmp_path / "cert.pem").write_text("nothing")
        (tmp_path / "key.pem").write_text("nothing")
        for flags, said in (
            (("--tls-cert", str(tmp_path / "none.pem"), "--tls-key", str(tmp_path / "key.pem")), "No such file"),
            (("--tls-cert", str(tmp_path / "cert.pem")), "go together"),
            (
                ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")),
                "no certificate and its key",
            ),
        ):
            done = stack.cli(command, "--port", str(stack.port), *flags)
            assert done.returncode == 2
            assert said in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
