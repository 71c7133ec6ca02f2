"""A real browser for tests of pages: the system's Chromium, driven by Playwright."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import pytest

from ost_lightning.pages.printing import BROWSERS

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page

SECONDS: Final = 60
"""Time that one answer may take; machines that run tests are busy."""
Result = TypeVar("Result")


class Browser:
    """One page of a running Chromium.

    Playwright keeps an event loop running in its thread, in which nobody else could run one. It has one of its own.

    Args:
        thread: Thread of Playwright.
        chromium: Running browser.

    Attributes:
        problems: Messages of the console, exceptions, and violations of the page's security policy.
        requests: URLs that were requested.
    """

    def __init__(self, thread: ThreadPoolExecutor, chromium: "Chromium") -> None:
        self._thread, self._chromium = thread, chromium
        self._page: Page | None = None
        self.problems: list[str] = []
        self.requests: list[str] = []

    def do(self, steps: Callable[["Page"], Result]) -> Result:
        """Calls a function with Playwright's page, in Playwright's thread."""
        assert self._page is not None, "first open a page"
        return self._thread.submit(steps, self._page).result()

    def open(
        self,
        page: Path | str,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: Literal["light", "dark"] = "light",
        scripts: bool = True,
    ) -> None:
        """Opens a page as a new visitor, and waits until it has been loaded."""
        url = page if isinstance(page, str) else page.resolve().as_uri()

        def steps() -> None:
            if self._page is not None:
                self._page.context.close()
            self.problems, self.requests = [], []
            context = self._chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                java_script_enabled=scripts,
                has_touch=width < 500,
            )
            context.set_default_timeout(1000 * SECONDS)
            self._page = context.new_page()
            # each list belongs to one page: what an earlier one says late is not this one's
            problems, requests = self.problems, self.requests
            self._page.on("console", lambda message: problems.append(message.text))
            self._page.on("pageerror", lambda error: problems.append(str(error)))
            self._page.on("request", lambda request: requests.append(request.url))
            self._page.goto(url)

        self._thread.submit(steps).result()

    def leave(self) -> None:
        """Closes the page, as somebody does who has seen enough."""
        self.do(lambda page: page.context.close())
        self._page = None

    def value(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression; a promise is awaited."""
        return self.do(lambda page: page.evaluate(expression))

    def wait_for(self, expression: str) -> None:
        """Waits until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}; {self.problems}"
            time.sleep(0.02)

    def click(self, selector: str, *, across: float = 0.5) -> None:
        """Clicks on the first element with the mouse, at a share of its width."""

        def steps(page: "Page") -> None:
            found = page.locator(selector).first
            found.scroll_into_view_if_needed()
            box = found.bounding_box()
            assert box is not None, f"{selector} can't be seen"
            page.mouse.click(box["x"] + across * box["width"], box["y"] + box["height"] / 2)

        self.do(steps)

    def press(self, key: str) -> None:
        """Presses a key, by its name in JavaScript."""
        self.do(lambda page: page.keyboard.press(key))

    def screenshot(self, file: Path, *, whole: bool = False) -> None:
        """Writes what is visible, or the whole page, as PNG."""
        self.do(lambda page: page.screenshot(path=file, full_page=whole))


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Starts a browser, or skips the test where none is installed."""
    program = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if program is None:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--mute-audio"]
    with ThreadPoolExecutor(1) as thread:
        playwright = thread.submit(sync_playwright().start).result()
        try:
            chromium = thread.submit(playwright.chromium.launch, executable_path=program, args=options).result()
            try:
                yield Browser(thread, chromium)
            finally:
                thread.submit(chromium.close).result()
        finally:
            thread.submit(playwright.stop).result()
