"""Time limit for reading one video, so that a hung file system or decoder becomes an error that names the video."""

from collections.abc import Callable
from threading import Thread
from typing import Final, TypeVar

from ost_lightning.video.decoding.frame_source import VideoReadError
from ost_lightning.video.storage.addresses import VideoAddress

Result = TypeVar("Result")
READ_TIMEOUT: Final = 120.0
"""Default limit in seconds. One core needs less than this for a minute of 4K video."""


def run_with_timeout(seconds: float | None, path: VideoAddress, work: Callable[[], Result]) -> Result:
    """Runs a function in a thread of its own and abandons it after a time limit.

    An abandoned thread keeps running in the background; the process does not wait for it, not even at exit. Reading and
    decoding release Python's global interpreter lock, so the process itself is never blocked.

    Args:
        seconds: Time limit; None for no limit, in which case no thread is started.
        path: Address of the video, for the error message.
        work: Function that reads the video.

    Returns:
        What `work` returns.

    Raises:
        VideoReadError: If the time limit is exceeded. Exceptions raised by `work` are passed on.
    """
    if seconds is None:
        return work()
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # raised below, in the calling thread
            failure.append(error)

    thread = Thread(target=run, daemon=True, name=f"read {path}")
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise VideoReadError(path, f"reading it took longer than {seconds:g} s (loading.read_timeout)")
    return outcome[0]
