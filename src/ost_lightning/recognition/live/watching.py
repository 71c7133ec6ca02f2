"""Windows of a stream, recognized while it runs."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.recognition.live.live_reader import Begin, Break, GridFrame, LiveReader
from ost_lightning.recognition.live.live_source import LiveSource
from ost_lightning.recognition.live.windows import Pace, Part
from ost_lightning.recognition.recognition import Recognition
from ost_lightning.recognition.timelines.timeline import Gap, clock
from ost_lightning.vocabulary import counted

_BUDGET: Final = 0.4
"""Share of a stride that encoding may take at once: a frame may have to wait for those before it, and its own turn."""


class StreamLostWarning(UserWarning):
    """The connection to a stream was lost; it is being opened again."""


@dataclass(frozen=True)
class WatchSettings:
    """Settings for watching a stream.

    Attributes:
        window: Length of what is recognized at a time, in seconds.
        stride: Time between two results in seconds, at least the window divided by the number of frames.
        timeout: Seconds after which a silent stream counts as lost.
        reconnects: Attempts to connect again, in a row, before the stream is given up.
        duration: Seconds after which to stop; None for no limit.

    Raises:
        UserError: If a number is out of range.
    """

    window: float = 4.0
    stride: float = 2.0
    timeout: float = 10.0
    reconnects: int = 10
    duration: float | None = None

    def __post_init__(self) -> None:
        for name in ("window", "stride", "timeout", "duration"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{name} is {value}: expected a positive number of seconds.")
        if self.reconnects < 0:
            raise UserError(f"reconnects is {self.reconnects}: expected 0 or more.")

    def step(self, frames: int) -> float:
        """Returns the time between two frames of a window, in seconds.

        Args:
            frames: Number of frames per window.

        Raises:
            UserError: If the stride is shorter.
        """
        step = self.window / frames
        if self.stride < step - 1e-9:
            raise UserError(
                f"A stride of {self.stride:g} s is shorter than the time between two of the {frames} frames of a "
                f"window, {step:g} s, so that results would repeat: choose a stride of at least {step:g} s."
            )
        return step


@dataclass(frozen=True, slots=True)
class LiveRecognition:
    """Classes of one window of a stream.

    Attributes:
        recognition: Classes with their probabilities.
        start: Beginning of the window, in seconds since the stream's first frame.
        end: End of the window in seconds.
        clock: Local time at which the window's last frame arrived.
        latency: Seconds from that arrival to the result.
        dropped: Frames of the grid dropped so far, because decoding or encoding didn't keep up.
        skipped: Windows left out so far, because a newer one was already complete.
    """

    recognition: Recognition
    start: float
    end: float
    clock: datetime
    latency: float
    dropped: int
    skipped: int

    def summary(self, count: int = 5) -> str:
        """Returns one line with clock time, window, most likely classes and latency, and one with what decided.

        Args:
            count: Largest number of classes.
        """
        classes = self.recognition.summary(count).removeprefix(f"{self.recognition.video}: ")
        lost = f", {counted(self.dropped, 'frame')} dropped" if self.dropped else ""
        evidence = self.recognition.evidence
        decided = "" if evidence is None else f"\n          decided by {evidence}"
        return (
            f"{self.clock:%H:%M:%S}  {clock(self.start)} to {clock(self.end)}  {classes}  "
            f"[{self.latency:.2f} s late{lost}]{decided}"
        )

    def __str__(self) -> str:
        return self.summary()


@dataclass(frozen=True, slots=True)
class WindowScorer:
    """How windows of a stream are scored.

    Attributes:
        frames: Number of frames per window, T.
        clips: Settings for resizing and cropping.
        encode: Function from pixels of n frames, uint8 (n, C, 3, S, S), to what is kept of each, (n, C, ...).
        recognize: Function from what is kept of the frames of a window, (C, T, ...), and their times in seconds, to
            the result.
    """

    frames: int
    clips: ClipSettings
    encode: Callable[[Tensor], Tensor]
    recognize: Callable[[Tensor, tuple[float, ...]], Recognition]


def watch(source: LiveSource, scorer: WindowScorer, settings: WatchSettings) -> Iterator[LiveRecognition | Gap]:
    """Recognizes windows of a stream while it runs, and yields each result as soon as it is known.

    Each frame is encoded once, and windows share frames. What is kept doesn't grow: one window of frames. If the model
    can't keep up, frames are dropped evenly, and of several complete windows only the newest one is recognized.

    Args:
        source: Stream, camera or file.
        scorer: How windows are scored.
        settings: Lengths and limits.

    Yields:
        Results of windows, and gaps once the stream goes on. A part that is shorter than a window gives one result.

    Raises:
        UserError: If the stream can't be opened, or is lost for good.

    Warns:
        StreamLostWarning: If the connection is lost and opened again.
    """
    watcher = _Watcher(source, scorer, settings)
    end = math.inf if settings.duration is None else time.monotonic() + settings.duration
    with watcher.reader:
        while (left := end - time.monotonic()) > 0:
            taken = watcher.reader.take(None if left == math.inf else left)
            for is_frames, items in groupby(taken, lambda item: isinstance(item, GridFrame)):
                if is_frames:
                    watcher.add([item for item in items if isinstance(item, GridFrame)])
                    yield from watcher.due()
                    continue
                for item in items:
                    if isinstance(item, Break):
                        yield from watcher.rest()
                        yield from watcher.lose(item)
                        if item.retry is None:
                            return
                    elif isinstance(item, Begin):
                        yield from watcher.begin(item)


class _Watcher:
    """State of a stream that is being watched; its methods yield what is known after each event."""

    def __init__(self, source: LiveSource, scorer: WindowScorer, settings: WatchSettings) -> None:
        self._source, self._scorer, self._settings = source, scorer, settings
        self._step = settings.step(scorer.frames)
        self.reader = LiveReader(source, scorer.clips, self._step, scorer.frames, settings.timeout, settings.reconnects)
        self._pace = Pace(_BUDGET * settings.stride)
        self._part: Part | None = None
        self._lost: Break | None = None
        self._skipped = 0

    def begin(self, beginning: Begin) -> Iterator[Gap]:
        # after a new clock without a pause, only the windows begin anew
        if self._lost is not None and beginning.second - self._lost.second > self._step:
            yield Gap(self._lost.second, beginning.second, self._lost.reason)
        self._lost = None
        self._part = Part(beginning.second, self._step, self._settings.stride / self._step, self._scorer.frames)

    def add(self, frames: Sequence[GridFrame]) -> None:
        if self._part is not None:
            chosen = self._pace.affordable(frames)
            before = time.monotonic()
            kept = self._scorer.encode(torch.stack([frame.pixels for frame in chosen]))
            self._pace.measure(len(chosen), time.monotonic() - before)
            self._part.add(chosen, kept, frames[-1].steps.stop)

    def due(self) -> Iterator[LiveRecognition]:
        """The newest complete window, if it has not been recognized yet."""
        if self._part is not None:
            end, skipped = self._part.due()
            self._skipped += skipped
            if end is not None:
                yield self._recognized(self._part, end)

    def rest(self) -> Iterator[LiveRecognition]:
        """What there is of a part that is shorter than a window."""
        if self._part is not None and not self._part.windows and self._part.end:
            yield self._recognized(self._part, self._part.end)
        self._part = None

    def lose(self, broken: Break) -> Iterator[Gap]:
        name = self._source.name
        if broken.retry is not None:
            if broken.retry:
                message = f"{name}: the connection is lost ({broken.reason}), connecting again in {broken.retry:g} s"
                warnings.warn(message, StreamLostWarning, stacklevel=3)
            self._lost = self._lost or broken
        elif self.reader.origin is None:
            raise UserError(f"{name} can't be opened: {broken.reason}. Check the address, and that it is sending.")
        elif broken.reason and not self._settings.reconnects:
            warnings.warn(f"{name}: the connection is lost ({broken.reason})", StreamLostWarning, stacklevel=3)
        elif broken.reason:
            first = self._lost or broken
            end = time.monotonic() - self.reader.origin
            yield Gap(first.second, max(first.second, end), first.reason)
            raise UserError(
                f"{name} is lost: {broken.reason}, after {self._settings.reconnects} attempts to connect again."
            )

    def _recognized(self, part: Part, end: int) -> LiveRecognition:
        kept, middles, arrival = part.window(end)
        found = self._scorer.recognize(kept, middles)
        now = time.monotonic()
        first = max(0, end - self._scorer.frames)
        return LiveRecognition(
            found,
            part.base + first * self._step,
            part.base + end * self._step,
            datetime.now().astimezone() - timedelta(seconds=now - arrival),
            now - arrival,
            self.reader.dropped + self._pace.dropped,
            self._skipped,
        )
