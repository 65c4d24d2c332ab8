"""A real browser for tests: headless chromium, driven through chromedriver's plain HTTP interface (W3C WebDriver)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip


class Page:
    """One browser window of a given width in pixels."""

    def __init__(self, driver: str, chromium: str, profile: Path, width: int) -> None:
        self._open = build_opener(ProxyHandler({})).open
        options = {
            "binary": chromium,
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": 900, "pixelRatio": 1, "mobile": False}},
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = f"{driver}/session"
        self._session += "/" + self._post("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def open(self, url: str) -> None:
        self._post("/url", {"url": url})

    def run(self, script: str) -> Any:
        """What the script's ``return`` gives."""
        return self._post("/execute/sync", {"script": script, "args": []})

    def devtools(self, command: str) -> Any:
        """What a command of Chromium's DevTools protocol answers."""
        return self._post("/goog/cdp/execute", {"cmd": command, "params": {}})

    def wait(self, condition: str, seconds: float = 15) -> Any:
        """The first true value of a JavaScript expression."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {condition}")):
            assert time.monotonic() < end, f"{condition} did not come true in {seconds} s; console: {self.console()}"
            time.sleep(0.05)
        return found

    def console(self) -> list[str]:
        """Warnings and errors on the console since the last call."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"}) if entry["level"] != "INFO"]

    def close(self) -> None:
        self._open(Request(self._session, method="DELETE"), timeout=20).close()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = Request(self._session + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with self._open(request, timeout=60) as response:
            return json.load(response)["value"]


@contextmanager
def browser(profile: Path, width: int) -> Iterator[Page]:
    """A page in a browser of its own, with a fresh profile. The test is skipped where there is no chromium."""
    chromium, chromedriver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs chromium and chromedriver on the path (Debian: chromium, chromium-driver)")
    with _started(chromedriver) as (driver, port):
        try:
            page = Page(f"http://127.0.0.1:{port}", chromium, profile, width)
            try:
                yield page
            finally:
                page.close()
        finally:
            driver.terminate()


@contextmanager
def _started(chromedriver: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The driver and its port. It may find that another process has just taken the port that it chose, and end: then another
    one is started."""
    for _ in range(5):
        with subprocess.Popen(
            [chromedriver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as driver:
            assert driver.stdout is not None
            said = (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)
            found = next(filter(None, said), None)
            if found is not None:
                yield driver, found[1]
                return
    raise RuntimeError("chromedriver ended five times without a port")
