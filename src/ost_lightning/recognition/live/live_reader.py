"""Reads a stream in a thread: frames on a grid of times, reconnection, and a queue that never grows."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Event, Thread
from typing import Final, Self

import av
from torch import Tensor

from ost_lightning.evaluation import ClipSettings
from ost_lightning.recognition.live.connection import CONNECTION_ERRORS, Connection, LiveFrame
from ost_lightning.recognition.live.live_source import LiveSource
from ost_lightning.video.decoding.frame_source import error_text

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
"""Seconds before the first attempt to reconnect, doubled for each further one, and their limit."""
_EPSILON: Final = 1e-6
"""Seconds by which times may differ because of rounding."""
_JUMPED: Final = "the stream's clock was set anew"


@dataclass(frozen=True, slots=True, eq=False)
class GridFrame:
    """A frame, and the steps of the grid during which it is on screen.

    Attributes:
        steps: Steps, counted from the beginning of the current part.
        pixels: Crops, uint8 (C, 3, S, S).
        arrival: Time of the frame's arrival, by `time.monotonic`.
    """

    steps: range
    pixels: Tensor
    arrival: float


@dataclass(frozen=True, slots=True)
class Break:
    """An end of an uninterrupted part.

    Attributes:
        second: Time of the last frame, in seconds since the stream's beginning.
        reason: Reason; empty if a file or connection has ended as it should.
        retry: Seconds until the next attempt to connect; None after the last one.
    """

    second: float
    reason: str
    retry: float | None


@dataclass(frozen=True, slots=True)
class Begin:
    """A beginning of an uninterrupted part.

    Attributes:
        second: Time of its first frame, in seconds since the stream's beginning.
    """

    second: float


Item = GridFrame | Break | Begin


class LiveReader:
    """Reads a stream in a thread; use it in a `with` statement.

    Args:
        source: Stream, camera or file.
        clips: Settings for resizing and cropping.
        step: Length of a step of the grid in seconds; the frame on screen in its middle is kept.
        capacity: Largest number of frames that wait; the oldest ones are dropped.
        timeout: Seconds after which a silent stream counts as lost.
        reconnects: Attempts to connect again, in a row, before the stream is given up.

    Attributes:
        dropped: Frames of the grid that were dropped, because decoding or encoding didn't keep up.
        origin: Time of the first frame's arrival, by `time.monotonic`; None before it.
    """

    def __init__(
        self, source: LiveSource, clips: ClipSettings, step: float, capacity: int, timeout: float, reconnects: int
    ) -> None:
        self._source, self._clips, self._step, self._capacity = source, clips, step, capacity
        self._timeout, self._reconnects = timeout, reconnects
        self._items: deque[Item] = deque()
        self._waiting = 0
        self._changed, self._stopped = Condition(), Event()
        self._failure: BaseException | None = None
        self._last = 0.0
        self.dropped = 0
        self.origin: float | None = None
        self._thread = Thread(target=self._run, daemon=True, name=f"read {source.name}")

    def __enter__(self) -> Self:
        """Begins to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops reading; a connection that is silent is closed when its time is over."""
        self._stopped.set()
        self._thread.join(1)

    def take(self, seconds: float | None) -> list[Item]:
        """Waits for the next items and returns all that are there, in order.

        Args:
            seconds: Longest wait; None for no limit.

        Returns:
            Items; none if the time is over.

        Raises:
            Exception: Whatever ended the thread, other than a lost connection.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._failure is not None, seconds)
            if not self._items and self._failure is not None:
                raise self._failure
            taken = list(self._items)
            self._items.clear()
            self._waiting = 0
        return taken

    def _put(self, item: Item) -> None:
        with self._changed:
            if isinstance(item, GridFrame):
                if self._waiting == self._capacity:
                    oldest = next(k for k, waiting in enumerate(self._items) if isinstance(waiting, GridFrame))
                    self.dropped += len(self._items[oldest].steps)  # type: ignore[union-attr]
                    del self._items[oldest]
                else:
                    self._waiting += 1
            self._items.append(item)
            self._changed.notify()

    def _elapsed(self) -> float:
        now = time.monotonic()
        if self.origin is None:
            self.origin = now
        # frames that the network has held back may be dated a little ahead
        return max(self._last, now - self.origin)

    def _run(self) -> None:
        try:
            self._connect_and_read()
        except BaseException as error:  # noqa: BLE001  # raised by `take`, in the thread that waits
            with self._changed:
                self._failure = error
                self._changed.notify()

    def _connect_and_read(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            reason, connection = "the stream has ended", None
            grid = FrameGrid(self._step, self._put)
            try:
                connection = Connection(self._source, self._clips, self._timeout, self._step, self._stopped)
                for frame in connection.frames(self._elapsed):
                    failures = 0
                    self._last = frame.second
                    self.dropped += grid.add(frame, behind=connection.is_behind)
            except CONNECTION_ERRORS as error:
                is_silent = isinstance(error, av.error.ExitError | TimeoutError)
                reason = f"it was silent for {self._timeout:g} s" if is_silent else error_text(error)
            if self._stopped.is_set():
                return
            if connection is not None:
                grid.end(connection.frame_seconds)
            is_whole = self._source.is_file and self.origin is not None
            failures += 1
            is_last = is_whole or self.origin is None or failures > self._reconnects
            retry = None if is_last else min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT)
            self._put(Break(self._last, "" if is_whole else reason, retry))
            if retry is None:
                return
            self._stopped.wait(retry)


class FrameGrid:
    """Chooses the frames of an uninterrupted part that are on screen in the middle of a step.

    Args:
        step: Length of a step in seconds.
        put: Function that receives the frames, and the ends of parts.
    """

    def __init__(self, step: float, put: Callable[[Item], None]) -> None:
        self._step, self._put = step, put
        self._held: LiveFrame | None = None
        self._base = 0.0
        self._next = 0

    def add(self, frame: LiveFrame, *, behind: bool) -> int:
        """Adds the next frame, and returns how many frames of the grid are missing before it.

        Args:
            frame: Next frame.
            behind: Whether frames between the last one and this one were not decoded.
        """
        held = self._held
        if held is not None and frame.jumped:
            self.end(0)
            self._put(Break(held.second, _JUMPED, 0.0))
            held = None
        self._held = frame
        if held is None:
            self._base, self._next = frame.second, 0
            self._put(Begin(frame.second))
            return 0
        steps = self._emit(held, frame.second)
        return max(0, steps - 1) if behind else 0

    def end(self, frame_seconds: float) -> None:
        """Ends the part after the last frame.

        Args:
            frame_seconds: Duration of the last frame in seconds.
        """
        if self._held is not None:
            self._emit(self._held, self._held.second + frame_seconds)
            self._held = None

    def _emit(self, frame: LiveFrame, until: float) -> int:
        """Hands on a frame if it is on screen in the middle of a step, and returns the number of these steps."""
        # the middle of step g is at (g + 1/2) x step
        end = max(self._next, math.ceil((until - self._base - _EPSILON) / self._step - 0.5))
        steps = range(self._next, end)
        if steps:
            self._put(GridFrame(steps, frame.crops(), frame.arrival))
            self._next = end
        return len(steps)
