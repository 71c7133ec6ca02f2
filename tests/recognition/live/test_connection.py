import pytest

from ost_lightning.recognition.live.connection import StreamClock


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
