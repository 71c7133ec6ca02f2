"""Pages as PDF, printed by the system's browser."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of programs that can print a page."""
_SECONDS: Final = 300


def find_browser() -> str:
    """Returns the path of the system's Chromium or Chrome.

    Raises:
        UserError: If none is installed.
    """
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        raise UserError(
            f"A PDF is printed by a browser, but none of {', '.join(BROWSERS)} is installed. Install one (on Debian: "
            "`apt-get install chromium`), or write the page as .html and print it yourself."
        )
    return found


def print_page(page: Path, file: Path) -> None:
    """Prints a page into a PDF.

    Args:
        page: Page that needs no network.
        file: File to write.

    Raises:
        UserError: If no browser is installed, or it fails.
    """
    program = find_browser()
    with TemporaryDirectory() as profile, atomic_write(file) as temporary:
        options = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        options += ["--no-pdf-header-footer", f"--print-to-pdf={temporary.absolute()}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium has no sandbox for root; the page is this package's own
        try:
            done = subprocess.run(  # noqa: S603
                [program, *options, page.absolute().as_uri()],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"{program} could not print {page}: {error}.") from error
        if done.returncode or not temporary.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"{program} could not print {page} (exit status {done.returncode}): {last}")
