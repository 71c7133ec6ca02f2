"""Timelines as tasks of Label Studio with predictions for its tag `TimelineLabels`, and the project's configuration.

The tag counts frames from 1 at the project's frame rate: https://labelstud.io/tags/timelinelabels
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

from ost_lightning.characters import one_line
from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines.timeline import Segment, Timeline
from ost_lightning.video.decoding import open_video
from ost_lightning.video.storage import is_remote, reference, size_and_mtime

_TAG: Final = "timelineLabels"
_ROUNDING: Final = 1e-6
"""Share of a frame by which a time may miss the frame that it means."""


def write_tasks(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes one task per video, with its segments as predictions, for the import of a Label Studio project.

    A local video is referred to by its path from the folder of the file, as Label Studio's local storage does.

    Raises:
        UserError: If the frame rate of a video is unknown.
    """
    tasks = [_task(timeline, file.parent) for timeline in timelines]
    file.write_text(json.dumps(tasks, indent=1) + "\n", encoding="utf-8")


def write_configuration(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes the labeling configuration of a project for these videos: all classes, and the frame rate.

    Raises:
        UserError: If the videos have several frame rates, or an unknown one.
    """
    rates = sorted({round(_frame_rate(timeline.video), 3) for timeline in timelines})
    if len(rates) > 1:
        raise UserError(
            f"The videos have {len(rates)} frame rates ({', '.join(f'{rate:g}' for rate in rates)} per second), but a "
            "Label Studio project has one: write the videos of each rate to files of their own."
        )
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Video", name="video", value="$video", frameRate=f"{rates[0]:g}")
    labels = ElementTree.SubElement(view, "TimelineLabels", name=_TAG, toName="video")
    for name in dict.fromkeys(name for timeline in timelines for name in timeline.classes):
        ElementTree.SubElement(labels, "Label", value=one_line(name))
    ElementTree.indent(view)
    file.write_bytes(ElementTree.tostring(view, encoding="utf-8") + b"\n")


def frame_numbers(start: float, end: float, rate: float) -> tuple[int, int]:
    """Returns the first and the last frame of part of a video, counted from 1.

    Args:
        start: Beginning in seconds.
        end: End in seconds, exclusive.
        rate: Frames per second.

    Examples:
        >>> frame_numbers(1.0, 2.0, rate=25)
        (26, 50)
    """
    first = floor(start * rate + _ROUNDING) + 1
    return first, max(first, ceil(end * rate - _ROUNDING))


def _task(timeline: Timeline, folder: Path) -> dict[str, Any]:
    video = reference(timeline.video, folder)
    url = video if is_remote(video) else f"/data/local-files/?d={quote(video, errors='surrogateescape')}"
    rate = _frame_rate(timeline.video) if timeline.segments else 0.0
    results = [_result(number, segment, rate) for number, segment in enumerate(timeline.segments, start=1)]
    model = str(timeline.conditions.get("weights", "ost_lightning"))
    return {"data": {"video": url}, "predictions": [{"model_version": model, "result": results}]}


def _result(number: int, segment: Segment, rate: float) -> dict[str, Any]:
    first, last = frame_numbers(segment.start, segment.end, rate)
    result: dict[str, Any] = {
        "id": f"segment{number}",
        "type": "timelinelabels",
        "from_name": _TAG,
        "to_name": "video",
        "origin": "prediction",
        "score": segment.score,
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [one_line(segment.label)]},
    }
    if segment.evidence:
        result["meta"] = {"text": [segment.evidence[0].sentence]}
    return result


def _frame_rate(video: str) -> float:
    return _read_frame_rate(video, size_and_mtime(video))


@lru_cache(maxsize=4096)
def _read_frame_rate(video: str, version: tuple[int, int]) -> float:
    """Opens each version of a video once, though a file of many videos is written again with each of them."""
    with open_video(video) as opened:
        if not opened.rate:
            raise UserError(f"{video}: its frame rate is unknown, but Label Studio counts frames. Use another format.")
        return opened.rate
