"""The latest frames of a stream: which windows are complete, and which frames can be encoded in time."""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from ost_lightning.recognition.live.live_reader import GridFrame


class Part:
    """The latest frames of an uninterrupted part of a stream, and the windows that are due.

    Args:
        base: Time of its first frame, in seconds since the stream's beginning.
        step: Length of a step of the grid in seconds.
        stride: Steps between two windows, at least 1.
        frames: Steps per window.

    Attributes:
        end: Steps so far.
        windows: Windows that are recognized or left out so far.
    """

    def __init__(self, base: float, step: float, stride: float, frames: int) -> None:
        self.base, self._step, self._stride, self._frames = base, step, stride, frames
        self._kept: deque[tuple[int, Tensor, float]] = deque(maxlen=frames + math.ceil(stride))
        self.end = self.windows = 0

    def add(self, frames: Sequence[GridFrame], kept: Tensor, end: int) -> None:
        """Adds frames.

        Args:
            frames: Frames.
            kept: What is kept of each, (n, C, ...).
            end: Steps so far, those of frames that were dropped included.
        """
        self.end = end
        for frame, row in zip(frames, kept.unbind(), strict=True):
            for step in frame.steps[-(self._kept.maxlen or 0) :]:
                self._kept.append((step, row, frame.arrival))

    def due(self) -> tuple[int | None, int]:
        """Returns the end of the newest complete window, None if it was returned before, and how many were left out."""
        # ends are rounded to whole steps, so that one window more or less may be complete
        complete = max(0, math.floor((self.end - self._frames) / self._stride) + 2)
        while complete and self._end(complete - 1) > self.end:
            complete -= 1
        new, self.windows = complete - self.windows, max(complete, self.windows)
        return (self._end(complete - 1), new - 1) if new > 0 else (None, 0)

    def window(self, end: int) -> tuple[Tensor, tuple[float, ...], float]:
        """Returns the frames before a step; a dropped one is replaced by the one before it.

        Args:
            end: Step after the last one.

        Returns:
            What is kept of T frames, (C, T, ...), the times of their steps in seconds, and the arrival of the last one.
            A part that is shorter than a window repeats frames, in order.
        """
        count = min(end, self._frames)
        wanted = [end - count + (2 * k + 1) * count // (2 * self._frames) for k in range(self._frames)]
        steps = [step for step, _, _ in self._kept]
        chosen = [self._kept[max(0, bisect_right(steps, step) - 1)] for step in wanted]
        middles = tuple(self.base + (step + 0.5) * self._step for step in wanted)
        return torch.stack([row for _, row, _ in chosen], 1), middles, chosen[-1][2]

    def _end(self, window: int) -> int:
        return round(window * self._stride) + self._frames


class Pace:
    """Chooses as many frames as can be encoded in time.

    Args:
        budget: Seconds that may be spent at once.

    Attributes:
        dropped: Frames of the grid that were not chosen.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._seconds: deque[float] = deque(maxlen=3)
        self.dropped = 0

    def measure(self, frames: int, seconds: float) -> None:
        """Notes how long a number of frames took."""
        self._seconds.append(seconds / frames)

    def affordable(self, frames: Sequence[GridFrame]) -> Sequence[GridFrame]:
        """Returns evenly spread frames, the last one among them."""
        # the first call may initialize a device
        slow = sorted(self._seconds)[len(self._seconds) // 2] if len(self._seconds) > 1 else 0.0
        count = min(len(frames), max(1, int(self._budget / slow))) if slow else len(frames)
        chosen = [frames[(k + 1) * len(frames) // count - 1] for k in range(count)]
        self.dropped += sum(len(frame.steps) for frame in frames) - sum(len(frame.steps) for frame in chosen)
        return chosen
