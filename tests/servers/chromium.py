"""Debian's Chromium, headless, driven by Playwright."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as NeverHappened

from tests.servers.availability import find_program

__all__ = ["PHONE", "Browser", "Page", "is_too_wide", "open_browser"]

PHONE = {"width": 390, "height": 844}

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


def is_too_wide(page: Page, *, settle_ms: int = 5_000) -> bool:
    """Whether the page still scrolls sideways on a phone once it had time to lay itself out.

    A chart takes its new width in a later frame than the window that it stands in.
    """
    try:
        page.wait_for_function(
            "width => document.documentElement.scrollWidth <= width", arg=PHONE["width"], timeout=settle_ms
        )
    except NeverHappened:
        return True
    return False
