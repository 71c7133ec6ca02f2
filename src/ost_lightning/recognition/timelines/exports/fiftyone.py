"""Timelines for FiftyOne: a file with labels that it imports, and samples with `TemporalDetections` in Python.

The file's format: https://docs.voxel51.com/user_guide/import_datasets.html, FiftyOneTemporalDetectionDataset
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines.exports.names import by_name, video_stem
from ost_lightning.recognition.timelines.timeline import Segment, Timeline
from ost_lightning.video.decoding import FrameSource, open_video


def write_labels(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes the labels of a `FiftyOneTemporalDetectionDataset`, with times in seconds; FiftyOne is not needed."""
    labels = {
        name: [
            {
                "label": segment.label,
                "timestamps": [round(segment.start, 3), round(segment.end, 3)],
                "confidence": segment.score,
            }
            for segment in timeline.segments
        ]
        for name, timeline in by_name(timelines, [video_stem(timeline.video) for timeline in timelines]).items()
    }
    file.write_text(json.dumps({"labels": labels}, indent=1) + "\n", encoding="utf-8")


def fiftyone_sample(timeline: Timeline, field: str = "predictions") -> Any:
    """Returns a timeline as a sample of FiftyOne, whose `TemporalDetections` name the exact frames.

    Args:
        timeline: Timeline of a local video.
        field: Field of the sample that holds the detections.

    Returns:
        A `fiftyone.Sample`, to be added to a dataset.

    Raises:
        UserError: If FiftyOne is not installed, or the video can't be read.
    """
    try:
        import fiftyone
    except ImportError as error:
        raise UserError("Samples of FiftyOne need the library: install it with `pip install fiftyone`.") from error
    with open_video(timeline.video) as video:
        found = [
            fiftyone.TemporalDetection(label=segment.label, support=_support(video, segment), confidence=segment.score)
            for segment in timeline.segments
        ]
    sample = fiftyone.Sample(filepath=str(Path(timeline.video).resolve()))
    sample[field] = fiftyone.TemporalDetections(detections=found)
    return sample


def _support(video: FrameSource, segment: Segment) -> list[int]:
    """First and last frame, counted from 1."""
    first, last = video.indices_at([segment.start, segment.end])
    if last > first and video.times([last])[0] >= segment.end:
        last -= 1  # the end belongs to the next segment
    return [first + 1, last + 1]
