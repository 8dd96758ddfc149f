"""A headless Chromium under test, and what it was told, asked for and complained of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
)
# Pages of the browser itself, such as its new tab
_INTERNAL_SCHEMES = ("data", "blob", "file", "about", "chrome", "chrome-untrusted", "devtools")


class Browser:
    """Selenium's driver with the questions that tests ask."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, *, width: int, height: int) -> None:
        """Show a page in a window of so many CSS pixels."""
        self.size(width, height)
        self.driver.get(url)

    def size(self, width: int, height: int) -> None:
        """Give the page's window another size, however narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression."""
        return self.driver.execute_script(f"return {script}")

    def screenshot(self, path: Path) -> None:
        """The whole page, beyond the window too, as a PNG file."""
        height = self.run("document.documentElement.scrollHeight")
        width = self.run("window.innerWidth")
        before = self.run("window.innerHeight")
        self.size(width, height)
        assert self.driver.save_screenshot(str(path))
        self.size(width, before)

    def sideways(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        return self.run("document.documentElement.scrollWidth - window.innerWidth")

    def errors(self) -> list[str]:
        """Script errors and failed loads since the last call."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def hosts(self) -> set[str]:
        """Hosts that were asked for anything since the last call."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                request = message["params"]
                url = urlsplit(request.get("url") or request["request"]["url"])
                if url.scheme not in _INTERNAL_SCHEMES:
                    found.add(url.hostname or url.scheme)
        return found


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A browser with a fresh profile; skips the test where there is none."""
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        pytest.skip("no browser: chromium and chromedriver are not both installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(driver)
    started = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(started)
    finally:
        started.quit()
