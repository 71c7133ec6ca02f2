import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ost_lightning.errors import UserError
from ost_lightning.toyworld.clips import FRAME_RATE
from ost_lightning.toyworld.grammar import DRAWS, draw_classes
from ost_lightning.toyworld.long_videos import (
    BACKGROUND_KINDS,
    LONGEST,
    SHORTEST,
    LongVideoClasses,
    render_long_video,
    write_long_video,
)
from ost_lightning.video import VideoReader


@pytest.mark.parametrize("group", ["seen", "unseen"])
@pytest.mark.parametrize("draw", range(DRAWS))
def test_background_is_never_of_a_listed_class(draw: int, group: str) -> None:
    classes = LongVideoClasses.of(draw, group)
    listed = {action.name for action in classes.listed}
    assert len(listed) == 20
    assert classes.labels.names == tuple(action.name for action in classes.listed)
    assert not listed & {action.name for action in (*classes.other, *classes.foreign)}
    assert len(classes.other) == 20
    assert len(classes.foreign) >= 15
    for action in classes.listed:
        assert classes.labels.descriptors[action.name].temporal == action.temporal


def test_parts_cover_the_video_and_name_its_actions_in_order() -> None:
    classes = LongVideoClasses.of(1, "unseen")
    actions = random.Random(3).sample(classes.listed, 6)
    frames, parts = render_long_video(classes, actions, "a")
    assert [part.label for part in parts if part.kind == "action"] == [action.name for action in actions]
    assert all(part.label is None for part in parts if part.kind != "action")
    assert parts[0].start == 0
    assert parts[-1].end == len(frames) / FRAME_RATE
    assert all(before.end == after.start for before, after in pairwise(parts))
    for part in parts:
        count = (part.end - part.start) * FRAME_RATE
        assert count == round(count)
        assert (6 if part.kind == "idle" else SHORTEST) <= count <= (20 if part.kind == "idle" else LONGEST)


def test_all_kinds_of_background_occur_and_actions_repeat() -> None:
    classes = LongVideoClasses.of(0, "seen")
    action = classes.listed[4]
    _, parts = render_long_video(classes, [action] * 14, "b")
    assert {part.kind for part in parts} == {"action", *BACKGROUND_KINDS}
    assert sum(part.label == action.name for part in parts) == 14


def test_idling_has_the_place_of_its_action() -> None:
    classes = LongVideoClasses.of(0, "unseen")
    frames, parts = render_long_video(classes, classes.listed[:8], "c")
    places = [
        np.median(frames[round(part.start * FRAME_RATE) : round(part.end * FRAME_RATE)].astype(np.int16), axis=0)
        for part in parts
    ]
    changes = [float(np.abs(place - after).mean()) for place, after in pairwise(places)]
    # idling after background leads to the action that follows it
    lead = [k for k in range(1, len(parts) - 1) if parts[k].kind == "idle" and parts[k - 1].kind != "action"]
    assert len(lead) >= 3
    assert all(parts[k + 1].kind == "action" for k in lead)
    assert 2 * np.mean([changes[k] for k in lead]) < np.mean([changes[k - 1] for k in lead])


def test_nothing_moves_in_empty_scenes() -> None:
    classes = LongVideoClasses.of(2, "unseen")
    frames, parts = render_long_video(classes, classes.listed[:6], "d")
    motion: dict[str, list[float]] = {}
    for part in parts:
        shown = frames[round(part.start * FRAME_RATE) : round(part.end * FRAME_RATE)].astype(np.float32)
        # noise is gone in the mean of 6 x 6 pixels
        blocks = shown.mean(3).reshape(len(shown), 12, 6, 12, 6).mean((2, 4))
        motion.setdefault(part.kind, []).append(float(blocks.std(0).max()))
    assert len(motion["empty"]) >= 2
    assert max(motion["empty"]) < min(motion["stranger"]) < min(motion["action"])


def test_same_seed_same_file(tmp_path: Path) -> None:
    classes = LongVideoClasses.of(0, "unseen")
    parts = [write_long_video(tmp_path / name, classes, classes.listed[:1], seed) for name, seed in
             (("a.mp4", "x"), ("b.mp4", "x"), ("c.mp4", "y"))]  # fmt: skip
    assert parts[0] == parts[1] != parts[2]
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with VideoReader(tmp_path / "a.mp4") as video:
        assert len(video) == parts[0][-1].end * FRAME_RATE
        assert video.rate == FRAME_RATE


def test_only_listed_actions_are_shown() -> None:
    classes = LongVideoClasses.of(0, "unseen")
    with pytest.raises(UserError, match="is not among the 20 listed classes"):
        render_long_video(classes, draw_classes(0)["seen"][:1], "e")
