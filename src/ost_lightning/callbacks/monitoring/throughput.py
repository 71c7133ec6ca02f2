"""Speed of training, and whether the loader limits it."""

import os
import warnings
from datetime import timedelta
from time import perf_counter
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.callbacks.monitoring.slow_precision import slow_precision
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError

_MINIMUM: Final = 5
"""Smallest number of batches of a measurement: the first batches include the start-up of workers and kernels."""


class BottleneckWarning(UserWarning):
    """Category of warnings that training waits for videos, or that the device is slow in the run's precision."""


class Throughput(Callback):
    """Measures videos per second and the share of time that training spends waiting for the loader.

    Both are logged as `throughput/videos_per_second` (all processes together) and `throughput/data_wait` (0 to 1), and
    shown by `VideoProgressBar`. Times are measured on the host. An accelerator runs behind the host, and may still be
    busy while the host waits: a small share of waiting can be harmless, but a large one always costs time.

    Lightning's `ThroughputMonitor` synchronizes the accelerator after every batch, which empties its queue, and doesn't
    measure the time spent waiting for the loader. This callback measures both figures over the same window.

    It also warns if training runs on a CPU that is slow in the run's precision.

    Args:
        every: Number of batches per measurement.
        warn_above: Share of waiting above which a warning, once per run, says that loading limits the speed.
    """

    def __init__(self, every: int = 20, warn_above: float = 0.25) -> None:
        if every < 1:
            raise UserError(f"throughput.every is {every}: it counts batches, so it must be at least 1.")
        self.every, self.warn_above = every, warn_above
        self.videos_per_second: float | None = None
        self.data_wait: float | None = None
        self._seconds_per_batch: float | None = None
        self._warned = False
        self._began, self._waited, self._batches, self._videos = 0.0, 0.0, 0, 0
        self._end_of_last: float | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Warns if the CPU is slow in the run's precision."""
        if trainer.is_global_zero and (message := slow_precision(trainer)):
            warnings.warn(message, BottleneckWarning, stacklevel=2)

    def seconds_left(self, trainer: Trainer) -> timedelta | None:
        """Returns the time until training ends, without validation; None if unknown."""
        if self._seconds_per_batch is None:
            return None
        done = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        totals: list[float] = []
        if trainer.max_steps > 0:
            totals.append(trainer.max_steps * trainer.accumulate_grad_batches)
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            totals.append(trainer.max_epochs * trainer.num_training_batches)
        if not totals or min(totals) == float("inf"):
            return None
        return timedelta(seconds=round(max(0.0, min(totals) - done) * self._seconds_per_batch))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Excludes the start-up of the workers from the measurement."""
        self._restart()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Excludes the validation from the measurement."""
        self._restart()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Adds the time spent waiting for this batch."""
        if self._end_of_last is not None:
            self._waited += perf_counter() - self._end_of_last

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the videos of the step, and logs the figures of a complete window."""
        now = perf_counter()
        if self._end_of_last is None:
            self._began = now
        else:
            self._batches += 1
            self._videos += sum(map(len, batch)) if isinstance(batch, tuple) else len(batch)
        self._end_of_last = now
        if self._batches:
            self._measure(now, trainer.world_size)
        if self._batches == self.every or (self._batches >= _MINIMUM and trainer.is_last_batch):
            self._report(trainer)
            self._restart(now)

    def _restart(self, began: float | None = None) -> None:
        """Starts a window; without a start time, the next batch only starts the clock."""
        self._began, self._end_of_last = began or 0.0, began
        self._waited, self._batches, self._videos = 0.0, 0, 0

    def _measure(self, now: float, processes: int) -> None:
        elapsed = max(now - self._began, 1e-9)
        self.videos_per_second = self._videos * processes / elapsed
        self.data_wait = self._waited / elapsed
        self._seconds_per_batch = elapsed / self._batches

    def _report(self, trainer: Trainer) -> None:
        if self.videos_per_second is None or self.data_wait is None:
            return
        figures = {
            "throughput/videos_per_second": self.videos_per_second,
            "throughput/data_wait": self.data_wait,
        }
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)
        if self.data_wait > self.warn_above and not self._warned and trainer.is_global_zero:
            self._warned = True
            data = getattr(trainer, "datamodule", None)
            workers = f"{data.workers} workers, " if isinstance(data, VideoDataModule) else ""
            warnings.warn(
                f"Loading limits the speed: {100 * self.data_wait:.0f} % of the time is spent waiting for videos "
                f"({workers}{os.cpu_count()} cores, {self.videos_per_second:.1f} videos/s). Raise data.loading.workers "
                f"up to the number of cores per device, or re-encode the videos for sparse reading with `ost data "
                f"transcode`.",
                BottleneckWarning,
                stacklevel=2,
            )
