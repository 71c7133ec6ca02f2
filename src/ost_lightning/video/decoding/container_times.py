"""What a container says about the times of its packets, and whether presentation order can be taken from them."""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

import av
from av.container import InputContainer

from ost_lightning.video.decoding.bitstream import reorders_by_type
from ost_lightning.video.decoding.packets import PacketList
from ost_lightning.video.decoding.timestamps import LONGEST_GAP, ascending_times, clock_restarts
from ost_lightning.video.decoding.tracks import main_video_stream

_DEFAULT_RATE: Final = 25
_NO_TIMESTAMPS: Final = 0x80
"""FFmpeg's flag of formats without times (AVFMT_NOTIMESTAMPS)."""
_CLOCK_JUMPS: Final = 0x200
"""FFmpeg's flag of formats whose clock may jump (AVFMT_TS_DISCONT)."""


def has_times(container: InputContainer) -> bool:
    """Whether a container stores presentation times.

    For the others, FFmpeg fills in times that are wrong if there are B pictures.
    """
    return "avi" not in container.format.name.split(",") and not container.format.flags & _NO_TIMESTAMPS


def clock_may_jump(container: InputContainer) -> bool:
    """Whether recordings may be joined by appending one file to another (transport and program streams)."""
    return bool(container.format.flags & _CLOCK_JUMPS)


class ContainerTimes:
    """Times of the packets of a container's main video stream.

    Attributes:
        ticks: Presentation time of each packet, in ticks; empty if some are unknown or equal.
        rate: Average number of frames per second; 0 if unknown.

    Args:
        container: The container.
        packets: All packets of the container's main video stream.
    """

    def __init__(self, container: InputContainer, packets: PacketList) -> None:
        stream = main_video_stream(container)
        self._packets, self._has_times = packets, has_times(container)
        self._unit, self._duration = Fraction(stream.time_base or 0), container.duration
        self.rate = Fraction(stream.average_rate or 0)
        known = [time for time in packets.presentation_times if time is not None]
        self.ticks = known if self._has_times and len(set(known)) == len(packets) else []
        gap = int(LONGEST_GAP / self._unit) if self._unit else 0
        self._restarts = clock_restarts(packets.decoding_times, gap) if clock_may_jump(container) else []
        # FFmpeg guesses some presentation times of MPEG from the next packet, here one of another recording
        guesses = reorders_by_type(stream.codec_context.name)
        self._guessed = {restart - 1 for restart in self._restarts} if guesses else set()

    def agree_with(self, random_access_points: Sequence[int]) -> bool:
        """Whether the times can be those of presentation, as far as random access points show.

        Args:
            random_access_points: Positions of pictures at which decoding can start.
        """
        ticks = self.ticks
        if not ticks or random_access_points[:1] != [0]:
            return False  # a stream that was cut may be undecodable up to its first random access point
        if self._restarts:
            decoding_times = [time for time in self._packets.decoding_times if time is not None]
            if any(after < before for before, after in pairwise(decoding_times)):
                return False
        latest = ticks[0]
        for start, end in pairwise([*random_access_points, len(ticks)]):
            if ticks[start] < latest:
                return False  # pictures before a random access point are also shown before it
            latest = max(latest, *ticks[start:end])
        return True

    def seconds(self, order: Sequence[int]) -> list[float]:
        """Times of frames from the first one on, ascending; by the average rate if the container has none.

        Args:
            order: Positions of the shown pictures, in presentation order.
        """
        rate, unit = self.rate or Fraction(_DEFAULT_RATE), self._unit
        if not self._has_times:
            return [index * rate.denominator / rate.numerator for index in range(len(order))]
        recordings: list[list[tuple[int | None, int | None]]] = [[] for _ in range(len(self._restarts) + 1)]
        for position in order:
            time = None if position in self._guessed else self._packets.presentation_times[position]
            recordings[bisect_right(self._restarts, position)].append((time, self._packets.decoding_times[position]))
        times = ascending_times(recordings, round(1 / (rate * unit)) if unit else 1)
        return [time * unit.numerator / unit.denominator for time in times]

    def reach_duration(self) -> bool:
        """Whether the last picture ends when the container's header says that the video ends."""
        times = [time for time in self._packets.presentation_times if time is not None]
        if not times or not self._duration or not self.rate:
            return False
        end = max(times) * self._unit + 1 / self.rate
        return end + 1 / self.rate / 2 > Fraction(self._duration, av.time_base)
