import random
from pathlib import Path

import av
import numpy as np
import pytest

from ost_lightning.toyworld import clips
from ost_lightning.toyworld.canvas import blend, darker, jitter
from ost_lightning.toyworld.clips import FRAMES, render_clip, write_mp4
from ost_lightning.toyworld.difficulty import Difficulty
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.toyworld.poses import POSES, Pose, between, pose_of
from ost_lightning.toyworld.props import PAINT_PROP
from ost_lightning.toyworld.scene import FRAME_SIDE, Appearance, Scene
from ost_lightning.toyworld.scenery import PAINT_EXTRA, PAINT_SETTING
from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, PROPS, SETTINGS, STATES
from ost_lightning.toyworld.wording import outfit_phrase, prop_phrase
from ost_lightning.video import read_frames

PLAIN = Appearance("meadow", "red", "cap", "drum", "blue", "tree")


def draw(appearance: Appearance, state: str, seed: int = 0) -> np.ndarray:
    return np.asarray(Scene(appearance, random.Random(seed)).draw(POSES[state], random.Random(seed))).astype(int)


def test_everything_in_the_vocabulary_can_be_drawn() -> None:
    assert set(PAINT_SETTING) == set(SETTINGS)
    assert set(PAINT_EXTRA) == set(EXTRAS)
    assert set(PAINT_PROP) == set(PROPS)
    assert set(POSES) == set(STATES)


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("setting", SETTINGS),
        ("outfit", COLORS),
        ("hat", HATS),
        ("prop", PROPS),
        ("prop_color", COLORS),
        ("extra", EXTRAS),
    ],
)
def test_every_value_of_an_attribute_looks_different(attribute: str, values: dict[str, object]) -> None:
    import dataclasses

    pictures = [draw(dataclasses.replace(PLAIN, **{attribute: value}), "beside") for value in values]
    assert all(picture.shape == (FRAME_SIDE, FRAME_SIDE, 3) for picture in pictures)
    for i, first in enumerate(pictures):
        for second in pictures[:i]:
            assert np.abs(first - second).mean() > 0.3


def test_every_state_looks_different() -> None:
    pictures = [draw(PLAIN, state) for state in STATES]
    for i, first in enumerate(pictures):
        for second in pictures[:i]:
            assert np.abs(first - second).mean() > 0.5


def test_same_seed_same_picture_other_seed_other_picture() -> None:
    assert np.array_equal(draw(PLAIN, "jump", 1), draw(PLAIN, "jump", 1))
    assert not np.array_equal(draw(PLAIN, "jump", 1), draw(PLAIN, "jump", 2))


def test_poses_are_interpolated() -> None:
    start, end = pose_of("crouch", random.Random(0)), pose_of("jump", random.Random(0))
    assert between(start, end, 0) == start
    assert between(start, end, 1).lift == pytest.approx(end.lift)
    assert start.lift < between(start, end, 0.5).lift < end.lift


def test_colors_stay_in_range() -> None:
    assert blend((0, 0, 0), (200, 100, 50), 0.5) == (100, 50, 25)
    assert darker((100, 200, 50)) < (100, 200, 50)
    assert all(0 <= channel <= 255 for channel in jitter((0, 255, 128), random.Random(0), 40))


def test_clips_are_seeded_and_filmed() -> None:
    action = draw_classes(0)["unseen"][0]
    clip = render_clip(action, "a")
    assert clip.shape == (FRAMES, FRAME_SIDE, FRAME_SIDE, 3)
    assert np.array_equal(clip, render_clip(action, "a"))
    assert not np.array_equal(clip, render_clip(action, "b"))


@pytest.mark.parametrize(("difficulty", "frames", "most"), [("standard", 32, 1), ("hard", 48, 3)])
def test_length_and_foreign_states_depend_on_the_difficulty(
    difficulty: Difficulty, frames: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def recorded(state: str, rng: random.Random) -> Pose:
        shown.append(state)
        return pose_of(state, rng)

    monkeypatch.setattr(clips, "pose_of", recorded)
    foreign = []
    for seed in range(100):
        shown.clear()
        assert len(clips.perform(("jump", "bow", "sit", "kick"), random.Random(seed), difficulty)) == frames
        foreign.append(len(shown) - 4)
    assert (min(foreign), max(foreign)) == (0, most)
    assert np.mean(foreign) == pytest.approx(0.8 * most, abs=0.3)


def test_a_hard_clip_is_longer() -> None:
    assert len(render_clip(draw_classes(0, "hard")["unseen"][0], "a", "hard")) == 48


def test_clip_is_a_real_mp4(tmp_path: Path) -> None:
    clip = render_clip(draw_classes(0)["order"][0], "a")
    path = tmp_path / "clip.mp4"
    write_mp4(path, clip)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", FRAME_SIDE, FRAME_SIDE)
        assert float(stream.average_rate or 0) == 8
    decoded = read_frames(path, range(FRAMES), short_side=None).permute(0, 2, 3, 1).numpy()
    assert np.abs(decoded.astype(int) - clip).mean() < 12
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_articles_fit_the_next_word() -> None:
    for seed in range(20):
        assert " a orange" not in f" {prop_phrase('umbrella', 'orange', random.Random(seed))}"
        assert "a umbrella" not in prop_phrase("umbrella", "red", random.Random(seed))
        assert "a orange" not in outfit_phrase("orange", random.Random(seed))


def test_the_same_frames_are_the_same_file(tmp_path: Path) -> None:
    """Repeated, because without `cpu-independent` only some runs differ."""
    clips = [render_clip(action, seed="a") for action in draw_classes(0)["unseen"][:4]]
    files = set()
    for k in range(8):
        written = []
        for place, clip in enumerate(clips):
            write_mp4(tmp_path / f"{k}-{place}.mp4", clip)
            written.append((tmp_path / f"{k}-{place}.mp4").read_bytes())
        files.add(tuple(written))
    assert len(files) == 1
