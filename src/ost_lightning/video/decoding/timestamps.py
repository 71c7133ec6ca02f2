"""Times of frames, from packets whose clock may restart and whose presentation times may be missing or wrong."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low
from typing import Final

LONGEST_GAP: Final = 10
"""Seconds between two packets beyond which a recording has been restarted (FFmpeg's dts_delta_threshold)."""


def clock_restarts(decoding_times: Sequence[int | None], longest_gap: int) -> list[int]:
    """Finds where the clock of a stream jumps: back, or further ahead than a gap in a recording.

    Args:
        decoding_times: Decoding time of each packet, in ticks; None where unknown.
        longest_gap: Longest step ahead within a recording, in ticks.

    Returns:
        Positions of the first packets of each recording after the first one.
    """
    restarts: list[int] = []
    last: int | None = None
    for position, time in enumerate(decoding_times):
        if time is None:
            continue
        if last is not None and not 0 <= time - last <= longest_gap:
            restarts.append(position)
        last = time
    return restarts


def ascending_times(recordings: Sequence[Sequence[tuple[int | None, int | None]]], frame_ticks: int) -> list[int]:
    """Times of the frames of recordings that follow one another, from the first frame on.

    Within a recording, presentation times are used; if some are missing or not distinct, decoding times; if these are
    not distinct either, frames are evenly spaced. The next recording begins one frame after the last one.

    Args:
        recordings: Presentation and decoding time of each shown frame of each recording, in ticks, in any order.
        frame_ticks: Duration of a frame by the stream's average rate, in ticks.

    Returns:
        Ticks, ascending.
    """
    times: list[int] = []
    start = 0
    for frames in recordings:
        if not frames:
            continue
        within = _distinct([pts for pts, _ in frames]) or _distinct([dts for _, dts in frames])
        within = within or list(range(0, len(frames) * frame_ticks, frame_ticks))
        times += [start + time - within[0] for time in within]
        steps = [after - before for before, after in pairwise(within)]
        start = times[-1] + (median_low(steps) if steps else frame_ticks)
    return times


def _distinct(times: Sequence[int | None]) -> list[int]:
    """The times in ascending order; empty if some are missing or equal."""
    known = sorted({time for time in times if time is not None})
    return known if len(known) == len(times) else []
