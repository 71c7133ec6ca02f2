"""A limit to how long reading one video may take: a hung file system or decoder becomes an error with a name."""

from collections.abc import Callable
from threading import Thread
from typing import Final, TypeVar

from ost_lightning.video.decoding.frame_source import VideoReadError
from ost_lightning.video.storage.addresses import VideoAddress

Result = TypeVar("Result")
READ_TIMEOUT: Final = 120.0
"""Seconds. A minute of 4K video takes a core less."""


def within(seconds: float | None, path: VideoAddress, work: Callable[[], Result]) -> Result:
    """Does some work on a video in a thread of its own, and gives it up after a time.

    A thread that is given up goes on in the background if it can; the process does not wait for it, not even at its
    end. Reading and decoding let go of Python's lock, so that the process itself is never stuck.

    Args:
        seconds: Limit; None is none, and no thread.
        path: The video, for the error.
        work: What to do.

    Raises:
        VideoReadError: If it takes longer. What the work raises is raised.
    """
    if seconds is None:
        return work()
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # it is raised below, in the thread that asked
            failure.append(error)

    thread = Thread(target=run, daemon=True, name=f"read {path}")
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise VideoReadError(path, f"reading it took longer than {seconds:g} s (loading.read_timeout)")
    return outcome[0]
