"""Label Studio's tasks and configuration, whose frames count from 1."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import Segment, Timeline, save_timeline
from ost_lightning.recognition.timelines.exports.label_studio import frame_numbers
from tests.recognition.timelines.exports.examples import HOSTILE, hostile
from tests.videos import write_video


@pytest.mark.parametrize(
    ("start", "end", "rate", "frames"),
    [
        (0.0, 1.0, 25.0, (1, 25)),
        (1.0, 2.0, 25.0, (26, 50)),
        (0.02, 0.06, 25.0, (1, 2)),  # begins during frame 1 and ends during frame 2
        (0.0, 0.07, 100.0, (1, 7)),  # 7.000000000000001 frames
        (1.001, 1.002, 25.0, (26, 26)),
        (100.1, 200.2, 30_000 / 1001, (3001, 6000)),
    ],
)
def test_frames_are_those_on_screen(start: float, end: float, rate: float, frames: tuple[int, int]) -> None:
    assert frame_numbers(start, end, rate) == frames


def test_a_task_has_the_segments_as_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clips/a b.mp4", 50)
    timeline = Timeline("clips/a b.mp4", 2.0, ("archery",), (Segment(0.4, 1.2, "archery", 0.3),))
    save_timeline(timeline, "tasks.json", "label_studio")
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"] == {"video": "/data/local-files/?d=clips/a%20b.mp4"}
    (result,) = task["predictions"][0]["result"]
    assert result["value"] == {"ranges": [{"start": 11, "end": 30}], "timelinelabels": ["archery"]}
    assert (result["type"], result["to_name"]) == ("timelinelabels", "video")

    save_timeline(timeline, "project.xml")
    view = ElementTree.parse(tmp_path / "project.xml").getroot()  # noqa: S314
    labels = view.find("TimelineLabels")
    assert labels is not None
    assert labels.attrib == {"name": result["from_name"], "toName": result["to_name"]}
    video = view.find("Video")
    assert video is not None
    assert video.attrib == {"name": "video", "value": "$video", "frameRate": "25"}


def test_labels_of_tasks_are_those_of_the_configuration(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", 5)
    save_timeline(hostile(str(video)), tmp_path / "tasks.json", "label_studio")
    save_timeline(hostile(str(video)), tmp_path / "project.xml")
    results = json.loads((tmp_path / "tasks.json").read_text())[0]["predictions"][0]["result"]
    used = [label for result in results for label in result["value"]["timelinelabels"]]
    project = ElementTree.parse(tmp_path / "project.xml")  # noqa: S314
    assert used == [label.attrib["value"] for label in project.iter("Label")]
    assert used[0] == HOSTILE[0]


def test_a_video_without_frame_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        save_timeline(hostile(str(tmp_path / "x.mp4")), tmp_path / "x.json", "label_studio")
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_has_changed_is_opened_again(tmp_path: Path) -> None:
    video, found = tmp_path / "x.mp4", []
    for ticks in (None, [0, 20, 40, 60, 80]):
        write_video(video, 5, ticks=ticks)
        save_timeline(Timeline(str(video), 1.0, ("archery",), ()), tmp_path / "x.xml")
        found.append((tmp_path / "x.xml").read_text())
    assert 'frameRate="25"' in found[0]
    assert 'frameRate="25"' not in found[1]


def test_one_project_has_one_frame_rate(tmp_path: Path) -> None:
    fast = write_video(tmp_path / "fast.mp4", 4, ticks=[0, 2, 4, 6])
    slow = write_video(tmp_path / "slow.mp4", 4)
    videos = [Timeline(str(video), 1.0, ("archery",), ()) for video in (fast, slow)]
    with pytest.raises(UserError, match=r"2 frame rates \(25, "):
        save_timeline(videos, tmp_path / "x.xml")
