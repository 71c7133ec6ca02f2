import pytest

from ost_lightning.video.decoding.timestamps import ascending_times, clock_restarts


@pytest.mark.parametrize(
    ("times", "restarts"),
    [
        ([0, 1, 2, 3], []),
        ([0, 1, None, 2, 2], []),
        ([5, 6, 0, 1], [2]),
        ([5, 6, None, 0, 1, 100, 101, 7], [3, 5, 7]),
        ([None, None], []),
        ([], []),
    ],
)
def test_clock_restarts(times: list[int | None], restarts: list[int]) -> None:
    assert clock_restarts(times, 50) == restarts


@pytest.mark.parametrize(
    ("recordings", "times"),
    [
        ([[(7, 0), (3, 1), (5, 2)]], [0, 2, 4]),
        ([[(3, 0), (5, 2)], [(1, 0), (4, 3)]], [0, 2, 4, 7]),
        ([[(3, 0), (3, 2), (3, 6)]], [0, 2, 6]),
        ([[(3, 0), (None, 2)], [(9, 9)]], [0, 2, 4]),
        ([[(None, None), (None, None)], [], [(5, 5)]], [0, 10, 20]),
        ([[(4, 4)], [(4, 4)]], [0, 10]),
        ([[]], []),
    ],
)
def test_times_of_recordings_that_follow_one_another(
    recordings: list[list[tuple[int | None, int | None]]], times: list[int]
) -> None:
    assert ascending_times(recordings, 10) == times
