"""/docs in a real browser: all operations are there, and nothing is asked of another host."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import missing
from tests.e2e.harness import Stack


def test_the_page_shows_every_operation_and_needs_no_other_host(process_stack: Stack, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        missing("chromium")
        return
    described = process_stack.http.get(f"{process_stack.url}/openapi.json", timeout=10).json()
    shown, said = look(browser, f"{process_stack.url}/docs", tmp_path)
    operations = re.findall(r'class="opblock opblock-(\w+)"', shown)
    paths = [*described["paths"].values(), *described["webhooks"].values()]
    assert len(operations) == sum(len(methods) for methods in paths)
    assert 'data-path="/v1/functions/{function}/invocations"' in shown
    assert "Content Security Policy" not in said, "it tried what its policy does not allow"


def test_a_page_that_asked_another_host_would_be_seen(process_stack: Stack, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        missing("chromium")
        return
    policy = process_stack.http.get(f"{process_stack.url}/docs", timeout=10).headers["Content-Security-Policy"]
    page = tmp_path / "page.html"
    page.write_text(
        f'<meta http-equiv="Content-Security-Policy" content="{policy.partition("frame-ancestors")[0]}">'
        '<script src="https://cdn.example.com/x.js"></script><p class="opblock">'
    )
    shown, said = look(browser, page.as_uri(), tmp_path)
    assert "opblock" in shown
    assert "Content Security Policy" in said


def look(browser: str, url: str, folder: Path) -> tuple[str, str]:
    """The page once its scripts have run, and what the browser logged of it."""
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--virtual-time-budget=20000",
        "--enable-logging=stderr",
        "--dump-dom",
    )
    ran = subprocess.run([browser, *options, url], capture_output=True, check=False, text=True, timeout=90)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr
