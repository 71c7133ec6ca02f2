"""ActivityNet 1.3 as published: one JSON file with the activities of every video, in seconds."""

import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from ost_lightning.video.annotations.annotation_files import parse_seconds, read_json, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.records import AnnotationError, VideoRecord

Subset = Literal["training", "validation"]
Unit = Literal["segment", "video"]
_Segment = tuple[int, float, float]


class EmptySegmentWarning(UserWarning):
    """Some annotated activities have no duration."""


def read_activitynet(file: Path, subset: Subset, classes: ClassIndex, unit: Unit = "segment") -> list[VideoRecord]:
    """Reads one subset.

    The publisher's file contains a few activities that end when they begin. They are skipped with a warning that names
    them, as are videos without any other activity.

    Args:
        file: `activity_net.v1-3.min.json`.
        subset: Subset to read, `training` or `validation`.
        classes: All classes of the data set.
        unit: `segment` for one record per activity, with its times; `video` for one record per whole video, labeled
            with the activity that takes most of its time.

    Returns:
        Records with paths `v_id.mp4` and ids `id` or, for the segments of a video, `id#0`, `id#1`, ...

    Raises:
        AnnotationError: If the file is missing, or an entry is malformed.
    """
    content = read_json(file)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise AnnotationError(f"{file} has no mapping under the key database. Expected ActivityNet's annotations.")
    records: list[VideoRecord] = []
    empty: list[str] = []
    for id_, video in database.items():
        where = f"{file}: database.{id_}"
        if not isinstance(video, dict) or video.get("subset") not in ("training", "validation", "testing"):
            raise AnnotationError(f"{where}: not a video with a subset (training, validation or testing).")
        if video["subset"] == subset:
            records += _records(id_, _segments(video.get("annotations"), where, classes, empty), unit)
    if empty:
        warnings.warn(
            f"{len(empty)} activities of {file} have no duration and are skipped: {', '.join(empty[:5])}",
            EmptySegmentWarning,
            stacklevel=2,
        )
    return require_nonempty(records, file)


def _segments(annotations: Any, where: str, classes: ClassIndex, empty: list[str]) -> list[_Segment]:
    if not isinstance(annotations, list):
        raise AnnotationError(f"{where}.annotations: not a list.")
    segments = []
    for index, entry in enumerate(annotations):
        position = f"{where}.annotations[{index}]"
        times = entry.get("segment") if isinstance(entry, dict) else None
        if not isinstance(times, list) or len(times) != 2 or not isinstance(entry.get("label"), str):
            raise AnnotationError(f"{position}: not an activity with a label and a segment of two times.")
        start, end = (parse_seconds(time, name, position) for time, name in zip(times, ("start", "end"), strict=True))
        label = classes.named(entry["label"], position)
        if end < start:
            raise AnnotationError(f"{position}: the segment ends ({end:g} s) before it begins ({start:g} s).")
        if end == start:
            empty.append(position)
        else:
            segments.append((label, start, end))
    return segments


def _records(id_: str, segments: list[_Segment], unit: Unit) -> list[VideoRecord]:
    path = f"v_{id_}.mp4"
    if unit == "segment":
        return [
            VideoRecord(path, label, f"{id_}#{index}", start, end) for index, (label, start, end) in enumerate(segments)
        ]
    if not segments:
        return []
    time: defaultdict[int, float] = defaultdict(float)
    for label, start, end in segments:
        time[label] += end - start
    return [VideoRecord(path, max(time, key=time.__getitem__), id_)]
