"""Choice of the frames of a clip, and of the samples of each process, by arithmetic alone: no file is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ost_lightning.errors import UserError


@dataclass(frozen=True, slots=True)
class FrameSampler:
    """Sparse sampling of temporal segment networks (Wang et al., ECCV 2016): T equal segments, one frame of each.

    With a stride, a view is instead a window of T frames at a constant distance (dense sampling).

    Attributes:
        frames: T, number of frames per view.
        views: V, number of views of one video in time; 1 in training.
        keep_tail_frames: Whether `random` draws from the whole video. Otherwise its segments have floor(n / T) of n
            frames, so that it never draws the n mod T last ones, as mmaction2 and the released code do.
        stride: Distance between the frames of a window, in frames; None for segments. Frames beyond the end of a short
            video are replaced by its last one. With several, `random` draws one of them for each window, so that one
            that is listed twice is drawn twice as often; `middle` takes their (lower) median. Where the video is too
            short for a window, the smallest takes its place.

    Raises:
        UserError: If a number is below 1.

    Examples:
        >>> FrameSampler(frames=4).middle(12)
        tensor([[ 1,  4,  7, 10]])
    """

    frames: int
    views: int = 1
    keep_tail_frames: bool = True
    stride: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "views"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"FrameSampler.{name} is {value}: it must be at least 1")
        if self.stride is not None:
            check_stride(self.stride)

    def middle(self, available: int) -> Tensor:
        """Chooses fixed frames, as for evaluation.

        View v of V takes the point (v + 1/2) / V of each segment, so a single view takes the middle. A video with fewer
        frames than T repeats frames, in order. With a stride, the windows start at evenly spaced frames from the first
        possible to the last one; a single window is in the middle.

        Args:
            available: Number of frames in the video, at least 1.

        Returns:
            (V, T) int64, each row non-decreasing, all in [0, available).
        """
        if self.stride is not None:
            stride, slack = self._fitting(self._strides.median(), available)
            first = torch.linspace(0, 1, self.views, dtype=torch.float64) if self.views > 1 else torch.tensor([0.5])
            return self._windows((first * slack).round().to(torch.int64), stride, available)
        offsets = (torch.arange(self.views, dtype=torch.float64) + 0.5) / self.views
        return self._at(available, offsets[:, None].expand(-1, self.frames))

    def random(self, available: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws the frames of a training sample: a uniformly random point of each segment, for each view.

        With a stride, each view is a window that starts at a uniformly random frame. Without tail frames, a video of T
        frames or fewer always gives the same frames. If it has fewer, they are repeated, and the last ones may start
        over at frame 0.

        Args:
            available: Number of frames in the video, at least 1.
            generator: Source of randomness; torch's global generator if not given.

        Returns:
            (V, T) int64 in [0, available). Rows are non-decreasing, except where frames start over.
        """
        if self.stride is not None:
            one = len(self._strides) == 1
            drawn = 0 if one else torch.randint(len(self._strides), (self.views,), generator=generator)
            strides, slack = self._fitting(self._strides[drawn].expand(self.views), available)
            starts = [torch.randint(last + 1, (), generator=generator) for last in slack.tolist()]
            return self._windows(torch.stack(starts), strides, available)
        offsets = torch.rand((self.views, self.frames), dtype=torch.float64, generator=generator)
        return self._at(available, offsets) if self.keep_tail_frames else self._without_tail(available, offsets)

    @property
    def _strides(self) -> Tensor:
        """Strides of windows, int64 (n,)."""
        return torch.tensor([self.stride] if isinstance(self.stride, int | None) else list(self.stride))

    def _fitting(self, strides: Tensor, available: int) -> tuple[Tensor, Tensor]:
        """Replaces strides at which a window is longer than the video by the smallest one.

        Returns:
            Strides, and the last frame at which a window with each can start: 0 if even that leaves the video.
        """
        _check_available(available)
        strides = torch.where((self.frames - 1) * strides < available, strides, self._strides.min())
        return strides, (available - (self.frames - 1) * strides - 1).clamp(min=0)

    def _windows(self, starts: Tensor, strides: Tensor, available: int) -> Tensor:
        """Indices (V, T) of the frames of windows that start at `starts`, int64 (V,), with a stride each or for all."""
        steps = torch.arange(self.frames) * strides[..., None]
        return (starts[:, None] + steps).clamp(max=available - 1)

    def _without_tail(self, available: int, offsets: Tensor) -> Tensor:
        """Frames drawn by the arithmetic of mmaction2's `SampleFrames`, as for the released weights."""
        _check_available(available)
        segment, numbers = available // self.frames, torch.arange(self.frames)
        if segment == 0:
            repeated = (numbers.double() * (available / self.frames)).round().to(torch.int64) % available
            return repeated.expand(self.views, -1)
        # an offset just below 1 may be rounded up to the next segment
        return numbers * segment + (offsets * segment).floor().to(torch.int64).clamp_(max=segment - 1)

    def _at(self, available: int, offsets: Tensor) -> Tensor:
        """Indices (V, T) of the frames at `offsets` in [0, 1) of each segment."""
        _check_available(available)
        positions = (torch.arange(self.frames, dtype=torch.float64) + offsets) * (available / self.frames)
        # an offset just below 1 may be rounded up to the end
        return positions.floor().to(torch.int64).clamp_(max=available - 1)


def check_stride(stride: int | Sequence[int], name: str = "FrameSampler.stride") -> None:
    """Checks a distance between frames, or several of which one is drawn.

    Args:
        stride: Distance, or distances.
        name: Name of the setting, for the message.

    Raises:
        UserError: If there is none, or one is below 1.
    """
    strides = (stride,) if isinstance(stride, int) else tuple(stride)
    if not strides or min(strides) < 1:
        value = stride if isinstance(stride, int) else list(strides)
        raise UserError(
            f"{name} is {value}: it must be at least 1, or a list of such numbers, of which one is drawn for each clip."
        )


def _check_available(frames: int) -> None:
    if frames < 1:
        raise ValueError(f"can't sample from {frames} frames")


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Key of one training sample; together with the seed, it determines all random numbers for the sample.

    Attributes:
        index: Index in the list of records.
        epoch: Number of the pass over the data.
    """

    index: int
    epoch: int


class TrainingSampler(Sampler[SampleKey]):
    """Shuffles anew in each epoch and drops an incomplete last global batch.

    The order does not depend on the number of processes. A global batch is divided into micro-batches, and process r of
    W takes the r-th slice of each, so that the videos in memory at any time, over all processes, are the same for
    every W.

    Args:
        size: Number of records.
        batch_size: Size of the global batch: the videos of one optimizer step, over all processes and accumulation
            steps; divisible by W times `accumulation`.
        seed: Seed for the order.
        rank: Rank r of this process.
        world_size: W, number of processes.
        accumulation: Number of micro-batches in a global batch.
    """

    def __init__(
        self, size: int, *, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, accumulation: int = 1
    ) -> None:
        self.size, self.batch_size, self.seed, self.rank, self.world_size = size, batch_size, seed, rank, world_size
        self.micro_batch_size = batch_size // accumulation
        self.epoch = 0
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; the trainer calls this."""
        self.epoch = epoch

    def skip(self, samples: int) -> None:
        """Skips this many samples of this process at the start of the next epoch."""
        self._skipped = samples

    def __len__(self) -> int:
        return self.size // self.batch_size * (self.batch_size // self.world_size)

    def __iter__(self) -> Iterator[SampleKey]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.size, generator=generator)[: self.size // self.batch_size * self.batch_size]
        slices = order.view(-1, self.world_size, self.micro_batch_size // self.world_size)
        mine = slices[:, self.rank].reshape(-1)[self._skipped :]
        self._skipped = 0
        epoch = self.epoch
        return (SampleKey(index, epoch) for index in mine.tolist())


class EvaluationSampler(Sampler[SampleKey]):
    """Yields every record exactly once over all processes, without padding.

    Process r of W takes the records r, r + W, r + 2W, ...

    Args:
        size: Number of records.
        rank: Rank r of this process.
        world_size: W, number of processes.
    """

    def __init__(self, size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self._mine = range(rank, size, world_size)

    def __len__(self) -> int:
        return len(self._mine)

    def __iter__(self) -> Iterator[SampleKey]:
        return (SampleKey(index, 0) for index in self._mine)
