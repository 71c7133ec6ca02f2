"""Segments and timelines: what is refused, and how they print."""

import math

import pytest

from ost_lightning.recognition.timelines import Gap, Segment, Timeline
from ost_lightning.recognition.timelines.timeline import clock


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_segments_with_impossible_times_are_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="expected 0 <= start < end"):
        Segment(start, end, "archery", 0.1)


def test_scores_are_finite() -> None:
    with pytest.raises(ValueError, match=r"'archery' at 0\.0 s is nan"):
        Segment(0.0, 1.0, "archery", math.nan)


def test_a_timeline_names_the_segment_at_a_time_and_gaps() -> None:
    first, second = Segment(1.0, 2.0, "archery", 0.2), Segment(2.0, 3.0, "surfing", 0.1)
    timeline = Timeline("v.mp4", 9.0, ("archery", "surfing"), (first, second), gaps=(Gap(4.0, 5.0, "lost"),))
    assert [timeline.at(time) for time in (0.5, 1.0, 2.0, 3.0)] == [None, first, second, None]
    assert "0:04.0 to 0:05.0  unknown: lost" in str(timeline)
    assert "none of the classes" in str(Timeline("v.mp4", 9.0, ("archery",), ()))


@pytest.mark.parametrize(
    ("second", "shown"), [(0, "0:00.0"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3723.4, "1:02:03.4")]
)
def test_times_are_minutes_and_seconds(second: float, shown: str) -> None:
    assert clock(second) == shown
