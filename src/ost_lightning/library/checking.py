"""What has happened to the videos of a table since they were indexed, and whether its rows are complete."""

from dataclasses import dataclass
from typing import Literal

from ost_lightning.files import unescape_bytes
from ost_lightning.library.sources import video_digest
from ost_lightning.library.table import SegmentTable
from ost_lightning.video.storage import is_remote

VideoMark = Literal["missing", "changed", "incomplete", "unreadable"]
"""Mark of a video: its file is gone, or has changed; its rows are repeated or incomplete; it could not be read."""


@dataclass(frozen=True, slots=True)
class MarkedVideo:
    """A video that is not as it was when it was indexed, or could not be indexed.

    Attributes:
        video: Absolute path, or URL without passwords.
        video_id: Name in lists and reports.
        mark: What is the matter.
        reason: The same in words.
    """

    video: str
    video_id: str
    mark: VideoMark
    reason: str


@dataclass(frozen=True, slots=True)
class TableCheck:
    """Result of checking a table.

    Attributes:
        segments: Number of segments.
        videos: Number of videos, or listed parts of them.
        marked: Videos that something is the matter with.
    """

    segments: int
    videos: int
    marked: tuple[MarkedVideo, ...]


def check_table(table: SegmentTable) -> TableCheck:
    """Checks each video of a table once. Rows of missing and changed videos stay, and can still be asked.

    Videos at URLs are not looked up.

    Args:
        table: Table, which is refreshed.
    """
    table.refresh()
    rows = table.dataset.to_table(columns=["key", "place", "video", "video_id", "video_digest"])
    places: dict[str, list[int]] = {}
    about: dict[str, tuple[str, str, str]] = {}
    for key, place, *names in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        places.setdefault(key, []).append(place)
        about[key] = (unescape_bytes(names[0]), unescape_bytes(names[1]), names[2])
    marked = [
        MarkedVideo(video, name, *found)
        for key, (video, name, digest) in about.items()
        if (found := _mark(video, digest, places[key])) is not None
    ]
    failed = table.error_dataset.to_table(columns=["video", "video_id", "reason"])
    marked += [
        MarkedVideo(unescape_bytes(video), unescape_bytes(name), "unreadable", unescape_bytes(reason))
        for video, name, reason in zip(*(column.to_pylist() for column in failed.columns), strict=True)
    ]
    return TableCheck(len(rows), len(places), tuple(marked))


def _mark(video: str, digest: str, places: list[int]) -> tuple[VideoMark, str] | None:
    if sorted(places) != list(range(len(places))):
        return "incomplete", "its segments are repeated or incomplete: remove and index it again"
    if is_remote(video):
        return None
    now = video_digest(video)
    if not now:
        return "missing", "the file is gone, or is not on this machine"
    # one that was indexed on a machine without the file has no digest
    return ("changed", "the file has changed since it was indexed") if digest not in ("", now) else None
