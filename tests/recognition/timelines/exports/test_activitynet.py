"""ActivityNet's files: detections for its evaluation, and annotations that this package's own reader accepts."""

import json
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import save_timeline
from ost_lightning.video.annotations import ClassIndex
from ost_lightning.video.annotations.published.activitynet import read_activitynet
from tests.recognition.timelines.exports.examples import HOSTILE, empty, hostile, ordinary


def test_detections_are_those_of_the_ranked_list(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    save_timeline([ordinary("clips/v_0123456789a.mp4"), hostile(), empty()], file, "activitynet")
    content = json.loads(file.read_text())
    assert set(content) == {"version", "results", "external_data"}
    assert set(content["results"]) == {"0123456789a", "a 'b' & <c>", "empty"}
    assert content["results"]["0123456789a"] == [
        {"label": "archery", "score": 0.31, "segment": [2.0, 6.5]},
        {"label": "surfing", "score": 0.29, "segment": [41.5, 50.0]},
        {"label": "juggling", "score": 0.1, "segment": [2.5, 6.0]},
    ]
    assert [entry["label"] for entry in content["results"]["a 'b' & <c>"]] == list(HOSTILE)
    assert content["results"]["empty"] == []


def test_annotations_are_read_as_activitynets(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    save_timeline([ordinary("v_0123456789a.mp4"), empty()], file, "activitynet_annotations")
    records = read_activitynet(file, "validation", ClassIndex(("archery", "surfing", "juggling")))
    assert [(record.path, record.label, record.start, record.end) for record in records] == [
        ("v_0123456789a.mp4", 0, 2.0, 6.5),
        ("v_0123456789a.mp4", 1, 41.5, 50.0),
    ]
    assert json.loads(file.read_text())["database"]["empty"]["duration"] == 12.0


def test_two_videos_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a/x\.mp4 and b/x\.webm would both be named 'x'"):
        save_timeline([ordinary("a/x.mp4"), ordinary("b/x.webm")], tmp_path / "x.json", "activitynet")
    assert list(tmp_path.iterdir()) == []
