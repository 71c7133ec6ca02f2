"""`ost recognize` for a camera or stream: results while it runs."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.recognition import Recognizer
    from ost_lightning.recognition.live import LiveFile, WatchSettings


def watch_source(
    recognizer: "Recognizer",
    source: str,
    settings: "WatchSettings",
    file: "LiveFile | None",
    top: int,
) -> None:
    """Recognizes a camera or stream until it ends, Ctrl-C is pressed or the time is over, and prints a summary.

    Args:
        recognizer: Weights and classes.
        source: Number or device of a camera, URL of a stream, or file.
        settings: Lengths and limits.
        file: File to which results are appended; None for none.
        top: Number of classes per window.

    Raises:
        UserError: If the source can't be opened, or is lost for good.
    """
    from ost_lightning.recognition.live import Gap
    from ost_lightning.recognition.timelines.timeline import clock

    name = without_passwords(source)
    results = recognizer.watch(
        source,
        settings.window,
        settings.stride,
        timeout=settings.timeout,
        reconnects=settings.reconnects,
        duration=settings.duration,
        evidence=True,
    )
    count, gaps, slowest, dropped, skipped, began = 0, 0, 0.0, 0, 0, time.monotonic()
    try:
        with file or nullcontext():
            for result in results:
                if isinstance(result, Gap):
                    gaps += 1
                    print(
                        f"          {clock(result.start)} to {clock(result.end)}  unknown: {result.reason}", flush=True
                    )
                else:
                    count += 1
                    slowest, dropped, skipped = max(slowest, result.latency), result.dropped, result.skipped
                    print(result.summary(top), flush=True)
                if file is not None:
                    file.add(result, name)
    except KeyboardInterrupt:
        print()  # after the ^C of the terminal
    finally:
        print(
            f"{counted(count, 'result')} in {clock(time.monotonic() - began)}, at most {slowest:.2f} s late; "
            f"{counted(dropped, 'frame')} dropped, {counted(skipped, 'window')} left out, {counted(gaps, 'gap')}"
        )
        if file is not None:
            print(f"Results written to {file.path}")


def live_source(sources: Sequence[str], *, live: bool) -> str | None:
    """Returns the camera or stream among the sources; None if all are videos.

    Args:
        sources: Sources as they were given.
        live: Whether they are live, whatever they look like.

    Raises:
        UserError: If there is more than one source, one of them live.
    """
    from ost_lightning.recognition.live import is_live

    if not live and not any(map(is_live, sources)):
        return None
    if len(sources) > 1:
        raise UserError(
            f"One camera or stream is watched at a time, but {len(sources)} sources are given: start a command for "
            "each of them."
        )
    return sources[0]
