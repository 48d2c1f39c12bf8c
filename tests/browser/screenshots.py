"""Writes pictures of both pages, light, dark and on a phone: `make screenshots`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, Appliance, ask, start, stop

LOOKS: dict[str, Any] = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
QUESTION = "What does a lock keeper do all day?"


def main(folder: Path) -> None:
    """Ask a few questions, then look at both pages in each way."""
    folder.mkdir(parents=True, exist_ok=True)
    process, running = start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            for look in LOOKS:
                _playground(browser, running, look, folder)
            for look in LOOKS:
                _status(browser, running, look, folder)
            browser.close()
    finally:
        stop(process)


def _playground(browser: Browser, running: Appliance, look: str, folder: Path) -> None:
    page = browser.new_page(**LOOKS[look])
    page.goto(f"{running.url}/playground/")
    page.wait_for_function("() => document.getElementById('model').value")
    page.fill("#max-tokens", "120")
    ask(page, QUESTION, model="demo-reasoning;rate=40;tokens=120")
    page.wait_for_timeout(3000)
    page.screenshot(path=folder / f"playground-{look}.png")
    page.close()


def _status(browser: Browser, running: Appliance, look: str, folder: Path) -> None:
    page = browser.new_page(**LOOKS[look])
    page.goto(f"{running.admin}/")
    page.wait_for_timeout(5000)
    page.screenshot(path=folder / f"status-{look}.png")
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
