"""The demo's last step, with the weights that come with the package."""

import json
import re
from pathlib import Path

import pytest

from ost_lightning.recognition.timelines import Segment, Timeline
from ost_lightning.tools.demo import demonstration
from ost_lightning.tools.demo.timeline import DemoTimeline, write_demo_timeline
from ost_lightning.toyworld.long_videos import LongVideoPart
from ost_lightning.video.decoding import open_video


def test_the_page_shows_a_long_video_of_unseen_actions(tmp_path: Path) -> None:
    demo = write_demo_timeline("tiny", draw=2, folder=tmp_path, actions=2)
    assert len(demo.actions) == 2
    with open_video(tmp_path / "long_video.mp4") as video:
        assert demo.timeline.duration == len(video) / video.rate > demo.actions[-1].end - 0.01
    assert demo.timeline.conditions["decoder"] == "StretchDecoder"
    content = demo.page.read_text(encoding="utf-8")
    shown = re.search(r'<script type="application/json" id="data">(.*?)</script>', content)
    assert shown
    data = json.loads(shown[1])
    assert [entry["label"] for entry in data["segments"]] == [segment.label for segment in demo.timeline.segments]
    assert all(entry["picture"].startswith("data:image/jpeg;base64,") for entry in data["segments"])
    assert "content" in data["video"]


def test_an_action_is_found_by_a_segment_of_its_class_that_overlaps_by_half() -> None:
    actions = tuple(LongVideoPart(start, start + 4, "action", "archery") for start in (0.0, 10.0, 20.0))
    segments = (
        Segment(0.5, 3.0, "archery", 0.3),  # 2.5 of 4 s
        Segment(11.0, 16.0, "archery", 0.3),  # 3 of 6 s
        Segment(20.0, 24.0, "surfing", 0.3),
    )
    timeline = Timeline("x.mp4", 30.0, ("archery", "surfing"), segments)
    assert DemoTimeline(Path("x.html"), timeline, actions).found == 2


def test_the_demo_ends_with_the_timeline_of_its_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the runs, which take minutes."""
    asked = []

    def timeline(weights: Path, draw: int, folder: Path) -> DemoTimeline:
        asked.append((weights, draw, folder))
        action, segment = LongVideoPart(0.0, 4.0, "action", "[a]"), Segment(0.0, 4.0, "[a]", 0.3)
        return DemoTimeline(folder / "timeline.html", Timeline("x.mp4", 5.0, ("[a]",), (segment,)), (action,))

    monkeypatch.setattr(demonstration._Runs, "fit", lambda self, matcher, draw, seed: Path(f"{matcher} {draw} {seed}"))
    monkeypatch.setattr(demonstration._Runs, "test", lambda *arguments: None)
    for name in ("_reduce_output", "_score", "_draw_first_video", "_summary", "_write", "_show"):
        monkeypatch.setattr(demonstration, name, lambda *arguments: None)
    monkeypatch.setattr(demonstration, "write_demo_timeline", timeline)
    demonstration.run_demo(tmp_path, draws=(1, 3), seeds=(0, 7), epochs=1)
    assert asked == [(Path("optimal_descriptor_solver 3 7"), 3, tmp_path)]
    printed = capsys.readouterr().out
    assert "[a] (0.300)" in printed
    assert "1 of 1 actions found" in printed.replace("\n", " ")
