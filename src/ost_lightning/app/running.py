"""Runs the app until it is stopped; Gradio is imported once the settings have been checked."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final, NoReturn

from ost_lightning.app.settings import AppSettings
from ost_lightning.errors import UserError

_TERMINATED: Final = 128 + signal.SIGTERM


def run(settings: AppSettings) -> None:
    """Serves the app until Ctrl-C or SIGTERM, and prints where.

    Args:
        settings: Settings of the app.

    Raises:
        UserError: If Gradio is not installed, or weights, classes or library don't exist or don't fit.
    """
    if find_spec("gradio") is None:
        raise UserError("The app requires Gradio: pip install 'ost-lightning[app]'")
    from ost_lightning.app.server import serving

    with _orderly_end(), serving(settings) as url:
        print(f"The page is at {url} (Ctrl-C ends it)", flush=True)
        wait()


def wait() -> None:
    """Waits for a signal."""
    threading.Event().wait()


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Lets SIGTERM, by which containers are stopped, end the app as Ctrl-C does, so that uploads are deleted."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread alone
        return

    def end(*_: object) -> NoReturn:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
