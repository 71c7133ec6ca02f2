"""The progress of indexing on the screen."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ost_lightning.characters import escaped

if TYPE_CHECKING:
    from ost_lightning.library import IndexProgress

_INTERVAL: Final = 30.0
"""Seconds between two lines where there is no terminal."""


class ShownProgress:
    """Shows videos per second and the time left, and names unreadable videos; use it in a `with` statement.

    Where the output is not a terminal, it is a line now and then.

    Args:
        rank: Number of the process; only the first one shows the progress, which is that of all.
        wait: Function that waits for the other processes; called once, before any of them has stored anything, so that
            they count from the same state.
    """

    def __init__(self, rank: int, wait: Callable[[], None]) -> None:
        self._first, self._named, self._last = rank == 0, 0, time.monotonic()
        self._wait: Callable[[], None] | None = wait
        columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
        self._bar = Progress(*columns, disable=not (self._first and sys.stdout.isatty()))
        self._task = self._bar.add_task("", total=None, speed="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: "IndexProgress") -> None:
        """Shows the progress."""
        if self._wait is not None:
            wait, self._wait = self._wait, None
            wait()
        for failure in progress.failures[self._named :]:
            self._bar.console.print(escaped(failure.reason), markup=False, highlight=False, soft_wrap=True)
        self._named = len(progress.failures)
        done, left = progress.todo - progress.remaining, progress.seconds_left
        speed = f"{progress.videos_per_second:.1f} videos/s"
        if left is not None:
            speed += f", {_clock(left)} left"
        self._bar.update(self._task, completed=done, total=progress.todo, speed=speed)
        if self._first and self._bar.disable and time.monotonic() - self._last >= _INTERVAL:
            self._last = time.monotonic()
            print(f"{done:,} of {progress.todo:,} videos, {speed}", flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
