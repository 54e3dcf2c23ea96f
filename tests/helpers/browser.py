"""Headless Chromium: what a reader's browser makes of a page."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


def missing() -> str:
    """Return which program is missing; empty if none is."""
    return " ".join(name for name in ("chromium", "chromedriver") if not shutil.which(name))


@contextlib.contextmanager
def chromium(space: Path, *, scripts: bool = True) -> Iterator[webdriver.Chrome]:
    """Run one; its console and its network are logged, and its files lie in ``space``."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
        *("--no-first-run", "--disable-background-networking", f"--user-data-dir={space}/profile"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        settings = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", settings)
    service = Service(shutil.which("chromedriver"), log_output=str(space / "driver.log"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: webdriver.Chrome, page: Path, width: int, *, dark: bool = False) -> None:
    """Open a file at a width."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    driver.get(page.as_uri())


def logged(driver: webdriver.Chrome) -> tuple[list[str], set[str]]:
    """Return the console's messages and the addresses asked for, since the last time."""
    console, network = (driver.get_log(kind) for kind in ("browser", "performance"))  # type: ignore[no-untyped-call]
    sent = [json.loads(entry["message"])["message"] for entry in network]
    return [entry["message"] for entry in console], {
        each["params"]["request"]["url"]
        for each in sent
        if each["method"] == "Network.requestWillBeSent"
        and each["params"]["documentURL"].startswith("file:")  # not the browser's own first page
    }
