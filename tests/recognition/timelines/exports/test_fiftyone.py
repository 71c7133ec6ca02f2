"""FiftyOne's labels, and samples made with a stand-in for the library."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import Segment, Timeline, save_timeline
from ost_lightning.recognition.timelines.exports import fiftyone_sample
from tests.recognition.timelines.exports.examples import HOSTILE, empty, hostile, ordinary
from tests.videos import write_video


def test_labels_have_times_in_seconds(tmp_path: Path) -> None:
    save_timeline([ordinary("clips/a.mp4"), hostile("b.webm"), empty()], tmp_path / "x.json", "fiftyone")
    labels = json.loads((tmp_path / "x.json").read_text())["labels"]
    assert set(labels) == {"a", "b", "empty"}
    assert labels["a"][0] == {"label": "archery", "timestamps": [2.0, 6.5], "confidence": 0.31}
    assert [entry["label"] for entry in labels["b"]] == list(HOSTILE)
    assert labels["empty"] == []


class Recorded(dict[str, Any]):
    """Stand-in for a class of FiftyOne: keeps its arguments and fields."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(arguments)


def test_a_sample_names_the_first_and_the_last_frame_from_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("fiftyone")
    library.TemporalDetection = library.TemporalDetections = library.Sample = Recorded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fiftyone", library)
    video = write_video(tmp_path / "x.mp4", 5, ticks=[0, 10, 20, 90, 100])
    times = [(0.0, 0.2), (0.2, 0.95), (0.25, 0.26), (0.9, 9.0)]
    segments = tuple(Segment(start, end, "archery", 0.3) for start, end in times)
    sample = fiftyone_sample(Timeline(str(video), 1.1, ("archery",), segments), field="found")
    assert sample["filepath"] == str(video.resolve())
    assert [entry["support"] for entry in sample["found"]["detections"]] == [[1, 2], [3, 4], [3, 3], [4, 5]]
    assert sample["found"]["detections"][0]["label"] == "archery"


def test_without_the_library_its_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(UserError, match="pip install fiftyone"):
        fiftyone_sample(ordinary())
