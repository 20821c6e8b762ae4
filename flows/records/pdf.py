"""A browser without a window: the report as PDF by its own print, and pictures of pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from flows.state import children
from flows.state.errors import BrowserError
from flows.state.files import aside

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-proxy-server", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
"""No sandbox: it needs user namespaces, which containers seldom have; the page runs nothing."""
PATIENCE = 120
"""Seconds after which a browser that does not answer is ended."""


def find() -> str:
    """The absolute path of a browser: DAMP_BROWSER, or the first of the usual names.

    Raises:
        BrowserError: There is none.
    """
    own = os.environ.get("DAMP_BROWSER")
    browser = own or next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        raise BrowserError(
            "No browser was found to print with: install Chromium, name one with DAMP_BROWSER, or "
            "open the page in yours and print it there."
        )
    return os.path.abspath(browser) if os.path.dirname(browser) else browser


def print_pdf(page: Path, target: Path) -> None:
    """Print a page to a PDF file, whole or not at all.

    Raises:
        BrowserError: There is no browser, or it did not print.
    """
    with aside(target) as (paper, _):
        _run(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
        if paper.stat().st_size == 0:
            raise BrowserError(f"The browser printed nothing of {page}. Open it and print by hand.")


def screenshot(
    page: Path | str,
    target: Path,
    *,
    width: int,
    height: int,
    scale: float = 1.0,
    drawing: int = 0,
) -> None:
    """Take a picture of the top of a page.

    Args:
        page: The page: a file, or a server's address.
        target: A .png file.
        width: Of the window, in the page's pixels; and `height`.
        scale: Picture pixels for each of them.
        drawing: Milliseconds that a page is given that draws itself.
    Raises:
        BrowserError: There is no browser, or it took no picture.
    """
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"  # the browser goes by the ending
        options = [f"--window-size={width},{height}", f"--force-device-scale-factor={scale}"]
        if drawing:
            options.append(f"--virtual-time-budget={drawing}")
        _run(page, f"--screenshot={shot}", *options)
        if not shot.is_file():
            raise BrowserError(f"The browser took no picture of {page}.")
        with aside(target) as (temporary, _):
            shutil.copyfile(shot, temporary)


def _run(page: Path | str, *options: str) -> None:
    browser = find()
    address = page if isinstance(page, str) else page.resolve().as_uri()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *options, address]
        try:
            done = subprocess.run(
                command,
                cwd=profile,
                env=children.environment("FONTCONFIG_", "DISPLAY", "CHROME_"),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except OSError as error:
            raise BrowserError(f"{browser} cannot be started: {error.strerror}.") from error
        except subprocess.TimeoutExpired as error:
            raise BrowserError(f"{browser} did not answer within {PATIENCE} seconds.") from error
    if done.returncode:
        raise BrowserError(
            f"{browser} ended with exit code {done.returncode}: {_said(done.stderr)}."
        )


def _said(text: str) -> str:
    return " ".join(text.split())[-300:] or "it said nothing"
