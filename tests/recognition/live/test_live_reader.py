from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.evaluation import ClipSettings
from ost_lightning.recognition.live.connection import LiveFrame
from ost_lightning.recognition.live.live_reader import Begin, Break, FrameGrid, GridFrame, Item, LiveReader
from ost_lightning.recognition.live.live_source import LiveSource
from ost_lightning.video import FrameSampler

CLIPS = ClipSettings(frames=8, short_side=56, crop_size=48)


def frame(second: float, number: int = 0, *, jumped: bool = False) -> LiveFrame:
    return LiveFrame(lambda: torch.tensor(number), second, 100 + second, jumped)


def on_grid(frames: list[LiveFrame], step: float, frame_seconds: float) -> list[Item]:
    found: list[Item] = []
    grid = FrameGrid(step, found.append)
    for each in frames:
        grid.add(each, behind=False)
    grid.end(frame_seconds)
    return found


def chosen(items: list[Item]) -> list[int]:
    return [int(item.pixels) for item in items if isinstance(item, GridFrame) for _ in item.steps]


@given(st.integers(1, 60), st.sampled_from([5, 24, 25, 30]), st.sampled_from([1, 2, 4, 8, 16]))
def test_a_grid_over_a_whole_video_has_the_frames_of_a_clip(count: int, rate: int, wanted: int) -> None:
    frames = [frame(number / rate, number) for number in range(count)]
    found = on_grid(frames, count / rate / wanted, 1 / rate)
    assert chosen(found) == FrameSampler(wanted).middle(count)[0].tolist()


def test_a_part_begins_at_its_first_frame_and_after_a_jump() -> None:
    frames = [frame(7.0, 0), frame(7.1, 1), frame(7.2, 2), frame(9.0, 3, jumped=True), frame(9.1, 4)]
    found = on_grid(frames, 0.1, 0.1)
    kinds = [type(item) for item in found]
    assert kinds == [Begin, GridFrame, GridFrame, Break, Begin, GridFrame, GridFrame]
    assert found[0] == Begin(7.0)
    assert found[3] == Break(7.2, "the stream's clock was set anew", 0.0)
    assert found[4] == Begin(9.0)
    assert [item.steps for item in found if isinstance(item, GridFrame)] == [range(1), range(1, 2)] * 2


def test_a_frame_that_stays_on_screen_is_converted_once() -> None:
    found = on_grid([frame(0.0, 0), frame(1.0, 1)], 0.25, 0.25)
    assert [item.steps for item in found if isinstance(item, GridFrame)] == [range(4), range(4, 5)]


def test_frames_that_nobody_takes_are_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").touch()
    reader = LiveReader(LiveSource.of(tmp_path / "x.mp4"), CLIPS, 0.5, capacity=3, timeout=1, reconnects=0)
    reader._put(Begin(0.0))
    for step in range(10_000):
        reader._put(GridFrame(range(step, step + 1), torch.tensor(step), 0.0))
    begin, *frames = reader.take(0)
    assert begin == Begin(0.0)
    assert chosen(frames) == [9997, 9998, 9999]
    assert reader.dropped == 9997
    assert reader.take(0) == []
