"""A timeline as one HTML page that needs no network: player, segments, and the frames and sentences that decided."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ost_lightning.characters import one_line
from ost_lightning.pages import data_url, render_page
from ost_lightning.recognition.timelines.timeline import Segment, Timeline
from ost_lightning.video.clips import FramePictures, read_pictures
from ost_lightning.video.storage import EMBED_LIMIT, is_remote, video_for_page

_SENTENCES: Final = 3
"""Number of sentences that a segment shows."""


def write_page(
    file: Path,
    timelines: Sequence[Timeline],
    pictures: FramePictures = read_pictures,
    embed_limit: int = EMBED_LIMIT,
) -> None:
    """Writes the page of one video.

    The video is part of it, or beside it; see `video_for_page`.

    Args:
        file: File to write.
        timelines: One timeline.
        pictures: Reader of the frames that decided.
        embed_limit: Largest size in bytes of a video that becomes part of the page.
    """
    (timeline,) = timelines
    data = _data(timeline, file.parent, pictures, embed_limit)
    file.write_text(render_page("timeline", Path(timeline.video).name, data), encoding="utf-8")


def _data(timeline: Timeline, folder: Path, pictures: FramePictures, embed_limit: int) -> dict[str, Any]:
    shown = sorted({segment.evidence[0].second for segment in timeline.segments if segment.evidence})
    found = pictures(timeline.video, shown) if shown else ()
    frames = {second: data_url(picture) for second, picture in zip(shown, found, strict=True) if picture}
    return {
        "name": one_line(timeline.video if is_remote(timeline.video) else Path(timeline.video).name),
        "video": video_for_page(timeline.video, folder, embed_limit),
        "duration": timeline.duration,
        "classes": [one_line(name) for name in timeline.classes],
        "segments": [_segment(segment, frames) for segment in timeline.segments],
        "gaps": [{"start": gap.start, "end": gap.end, "reason": one_line(gap.reason)} for gap in timeline.gaps],
        "conditions": [[one_line(name), one_line(str(value))] for name, value in timeline.conditions.items()],
    }


def _segment(segment: Segment, frames: dict[float, str]) -> dict[str, Any]:
    return {
        "start": segment.start,
        "end": segment.end,
        "label": one_line(segment.label),
        "score": segment.score,
        "picture": frames.get(segment.evidence[0].second) if segment.evidence else None,
        "evidence": [
            {"sentence": one_line(found.sentence), "second": found.second, "cosine": found.cosine}
            for found in segment.evidence[:_SENTENCES]
        ],
    }
