"""Names of classes and videos in files of other programs: readable, unique, and free of control characters."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines.timeline import Timeline
from ost_lightning.video.storage import VIDEO_SUFFIXES, is_remote

_ACTIVITYNET: Final = re.compile(r"v_([\w-]{11})")


def video_stem(video: str) -> str:
    """Returns the name of a video without folders and suffix.

    Examples:
        >>> video_stem("clips/a.b.mp4"), video_stem("https://host/c%20d.webm?x=1"), video_stem("frames/v1.2")
        ('a.b', 'c d', 'v1.2')
    """
    path = PurePosixPath(unquote(urlsplit(video).path) if is_remote(video) else Path(video).as_posix())
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name


def activitynet_id(video: str) -> str:
    """Returns the id of a video in ActivityNet's files: `v_` before a YouTube id is not part of it."""
    stem = video_stem(video)
    found = _ACTIVITYNET.fullmatch(stem)
    return found[1] if found else stem


def by_name(timelines: Sequence[Timeline], names: Sequence[str]) -> dict[str, Timeline]:
    """Returns timelines by the names of their videos.

    Raises:
        UserError: If two videos have the same name.
    """
    found: dict[str, Timeline] = {}
    for name, timeline in zip(names, timelines, strict=True):
        if name in found:
            raise UserError(
                f"{found[name].video} and {timeline.video} would both be named {name!r}: this format knows videos by "
                "their names without folders. Write them to different files, or use the format json or csv."
            )
        found[name] = timeline
    return found


def milliseconds(start: float, end: float) -> tuple[int, int]:
    """Rounds two times in seconds to whole milliseconds, of which there is at least one in between."""
    first = round(1000 * start)
    return first, max(first + 1, round(1000 * end))
