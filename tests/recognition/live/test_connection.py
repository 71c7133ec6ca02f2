import time
from pathlib import Path
from threading import Event

import pytest

from ost_lightning.evaluation import ClipSettings
from ost_lightning.recognition.live import LiveSource
from ost_lightning.recognition.live.connection import Connection, StreamClock
from tests.recognition.live.senders import write_stream

CLIPS = ClipSettings(frames=8, short_side=56, crop_size=48)


def test_times_follow_the_streams_own_clock() -> None:
    clock = StreamClock(longest_jump=10)
    # the second frame is held back by the network, the third one comes at once
    found = [clock.second(own, elapsed) for own, elapsed in [(100.0, 0.0), (100.04, 0.5), (100.08, 0.5)]]
    assert [second for second, _ in found] == pytest.approx([0, 0.04, 0.08])
    assert not any(jumped for _, jumped in found)


@pytest.mark.parametrize(("own", "elapsed"), [(1.0, 2.0), (120.0, 2.0)])
def test_a_clock_that_was_set_anew_starts_again_from_the_arrival(own: float, elapsed: float) -> None:
    clock = StreamClock(longest_jump=10)
    clock.second(100.0, 0.0)
    clock.second(101.9, 1.9)
    assert clock.second(own, elapsed) == (2.0, True)
    assert clock.second(own + 0.04, 2.5) == (pytest.approx(2.04), False)


def test_times_never_descend_and_may_be_missing() -> None:
    clock = StreamClock(longest_jump=10)
    found = [
        clock.second(own, elapsed) for own, elapsed in [(5.0, 1.0), (5.5, 1.1), (5.4, 1.6), (None, 1.2), (None, 2.0)]
    ]
    assert [second for second, _ in found] == pytest.approx([1.0, 1.5, 1.5, 1.5, 2.0])
    assert not any(jumped for _, jumped in found)


def connection(file: Path, period: float = 60) -> Connection:
    """Opens a file as if it were a stream, so that all packets are there at once."""
    return Connection(LiveSource("a stream", f"file:{file}"), CLIPS, 1, period, Event())


def test_a_decoder_that_does_not_keep_up_decodes_keyframes_only(tmp_path: Path) -> None:
    file = write_stream(tmp_path / "a.ts", 50)  # a keyframe every 5 frames
    assert len(list(connection(file).frames(lambda: 0.0))) == 50
    hurried = connection(file, period=0.01)
    numbers, behind = [], []
    for frame in hurried.frames(lambda: 0.0):
        numbers.append(round(25 * frame.second))
        behind.append(hurried.is_behind)
        time.sleep(0.005)
    assert any(behind)
    assert 10 <= len(numbers) < 40
    # a frame is shown only with all frames since its keyframe
    assert all(number % 5 == 0 or number - 1 in numbers for number in numbers)


def test_lost_packets_cost_only_the_frames_that_need_them(tmp_path: Path) -> None:
    file = write_stream(tmp_path / "a.ts", 50)
    data = file.read_bytes()
    # an eighth of the stream in the middle never arrives
    file.write_bytes(data[: len(data) // 2] + data[len(data) * 5 // 8 // 188 * 188 :])
    frames = list(connection(file).frames(lambda: 0.0))
    assert 30 <= len(frames) < 50
    assert frames[-1].second == pytest.approx(49 / 25)
    assert frames[0].crops().shape == (1, 3, 48, 48)
