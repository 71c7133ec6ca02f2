"""Timelines in ActivityNet's two formats: detections for its evaluation, and annotations.

Both are described at http://activity-net.org and read by most programs for temporal action localization.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ost_lightning.recognition.timelines.exports.names import activitynet_id, by_name
from ost_lightning.recognition.timelines.timeline import Segment, Timeline

_VERSION: Final = "VERSION 1.3"


def write_detections(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes the ranked detections of each video, or its segments if there are none, for ActivityNet's evaluation."""
    results = {
        name: [
            {"label": segment.label, "score": segment.score, "segment": _times(segment)}
            for segment in timeline.detections or timeline.segments
        ]
        for name, timeline in _by_id(timelines).items()
    }
    weights = {str(timeline.conditions.get("weights", "pre-trained")) for timeline in timelines}
    details = f"weights: {', '.join(sorted(weights))}"
    _write(file, {"version": _VERSION, "results": results, "external_data": {"used": True, "details": details}})


def write_annotations(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes the segments of each video like ActivityNet's annotations, as part of the subset `validation`."""
    database = {
        name: {
            "duration": round(timeline.duration, 3),
            "subset": "validation",
            "annotations": [{"label": segment.label, "segment": _times(segment)} for segment in timeline.segments],
        }
        for name, timeline in _by_id(timelines).items()
    }
    _write(file, {"version": _VERSION, "taxonomy": [], "database": database})


def _by_id(timelines: Sequence[Timeline]) -> dict[str, Timeline]:
    return by_name(timelines, [activitynet_id(timeline.video) for timeline in timelines])


def _times(segment: Segment) -> list[float]:
    return [round(segment.start, 3), round(segment.end, 3)]


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
