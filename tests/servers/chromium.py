"""Debian's Chromium, headless, driven by Playwright."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers.availability import find_program

__all__ = ["Browser", "Page", "open_browser"]

QUIET = [
    "--no-sandbox",  # root in a container has no user namespace to build one
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-proxy-server",
]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A new browser for the length of a ``with`` block; ServerMissing where none is installed."""
    chromium = find_program("chromium", "/usr/bin/chromium-browser", package="chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="chromium-") as home:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=QUIET,
            env={"HOME": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
        try:
            yield browser
        finally:
            browser.close()
