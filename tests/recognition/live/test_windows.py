import torch
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.recognition.live.live_reader import GridFrame
from ost_lightning.recognition.live.windows import Pace, Part


def frames(*steps: int) -> list[GridFrame]:
    return [GridFrame(range(step, step + 1), torch.tensor(0), 10.0 + step) for step in steps]


def add(part: Part, *steps: int, end: int | None = None) -> None:
    """Adds frames whose kept value is their step."""
    part.add(frames(*steps), torch.tensor(steps, dtype=torch.float32).view(-1, 1, 1), end or steps[-1] + 1)


def shown(part: Part, end: int) -> list[int]:
    kept, _, _ = part.window(end)
    return [int(value) for value in kept.flatten()]


@given(st.integers(1, 9), st.floats(1, 7.5), st.integers(1, 60))
def test_each_window_is_due_once_and_holds_the_last_frames(size: int, stride: float, count: int) -> None:
    part = Part(0.0, 0.5, stride, size)
    ends = []
    for step in range(count):
        add(part, step)
        end, skipped = part.due()
        assert skipped == 0
        if end is not None:
            ends.append(end)
            assert shown(part, end) == list(range(end - size, end))
    expected = [size + round(k * stride) for k in range(count)]
    assert ends == [end for end in expected if end <= count]


def test_of_several_complete_windows_the_newest_is_due() -> None:
    part = Part(0.0, 0.5, 2.0, 4)
    for step in range(9):
        add(part, step)
    assert part.due() == (8, 2)
    assert part.due() == (None, 0)


def test_what_is_kept_does_not_grow() -> None:
    part = Part(0.0, 0.5, 2.0, 4)
    for step in range(1000):
        add(part, step)
    assert len(part._kept) == 6


def test_a_dropped_frame_is_replaced_by_the_one_before_it() -> None:
    part = Part(3.0, 0.5, 2.0, 4)
    add(part, 0, 3, end=5)
    kept, seconds, arrival = part.window(5)
    assert kept.flatten().tolist() == [0, 0, 3, 3]
    assert seconds == (3.75, 4.25, 4.75, 5.25)
    assert arrival == 13.0


def test_a_part_shorter_than_a_window_repeats_frames_in_order() -> None:
    part = Part(0.0, 0.5, 2.0, 8)
    add(part, 0, 1, 2)
    assert shown(part, 3) == [0, 0, 0, 1, 1, 2, 2, 2]


def test_as_many_frames_are_chosen_as_can_be_encoded_in_time() -> None:
    pace = Pace(budget=1.0)
    assert len(pace.affordable(frames(*range(8)))) == 8
    pace.measure(1, 30.0)  # a first call that initializes a device
    pace.measure(8, 4.0)
    pace.measure(4, 2.0)
    assert [frame.steps.start for frame in pace.affordable(frames(*range(8)))] == [3, 7]
    assert pace.dropped == 6
    pace.measure(1, 5.0)
    pace.measure(1, 5.0)
    assert [frame.steps.start for frame in pace.affordable(frames(*range(8)))] == [7]  # never none
    assert pace.dropped == 6 + 7
