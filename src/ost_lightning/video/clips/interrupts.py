"""Keyboard interrupts, which only the process that starts the loading workers handles."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Makes processes that are started here ignore SIGINT.

    A terminal sends the signal to all processes. Workers that ended at once would break the training step that the
    process above them wants to finish.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
