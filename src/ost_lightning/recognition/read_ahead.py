"""Reads videos in threads, ahead of the encoder, and groups them into batches without delaying any."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from torch import Tensor

from ost_lightning.errors import UserError

Video = TypeVar("Video")
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, eq=False)
class ReadVideo:
    """A video that was read, or the reason why it could not be.

    Attributes:
        name: Path or URL of the video, without passwords.
        frames: Frames of all views, uint8 (V, T, 3, S, S); None if the video could not be read.
        error: Reason for which the video could not be read; empty if it was.
        seconds: Times of the frames of the first view; empty if frames have no times.
    """

    name: str
    frames: Tensor | None
    error: str
    seconds: tuple[float, ...] = ()


def read_ahead(
    videos: Iterable[Video], read: Callable[[Video], Read], threads: int, batch_size: int
) -> Iterator[list[Read]]:
    """Yields batches of what was read, in the order of `videos`.

    A batch holds the next video, and those after it that have been read by then. The first video is read, and used by
    the caller, before any other is begun, so that its result comes as early as that of a single video.

    Args:
        videos: Paths, URLs or whatever `read` takes; taken only as far ahead as they are read.
        read: Function that reads one video; called in threads.
        threads: Number of threads; 0 reads in this thread, one video per batch.
        batch_size: Largest number of videos per batch, at least 1.

    Raises:
        UserError: If a number is out of range.
    """
    if threads < 0 or batch_size < 1:
        raise UserError(
            f"Expected threads of 0 or more and a batch_size of at least 1: got {threads} and {batch_size}."
        )
    if not threads:
        yield from ([read(video)] for video in videos)
        return
    waiting = iter(videos)
    # decoding and scaling release Python's lock, so threads decode in parallel
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Read]] = deque()
        ahead = 1
        try:
            while True:
                running.extend(pool.submit(read, video) for video in islice(waiting, ahead - len(running)))
                if not running:
                    return
                batch = [running.popleft().result()]
                while running and len(batch) < batch_size and running[0].done():
                    batch.append(running.popleft().result())
                yield batch
                ahead = threads + batch_size
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
