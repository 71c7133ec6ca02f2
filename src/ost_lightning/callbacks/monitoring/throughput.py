"""How fast a run goes, and which side holds it up."""

import os
import warnings
from datetime import timedelta
from time import perf_counter, thread_time
from typing import Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError

_MINIMUM: Final = 5
"""Batches that the first warning waits for: workers have to start, kernels to be chosen."""
_SLOW: Final = 4.0
"""Times as long as in fp32 from which on a product in bf16 is worth a warning."""


class BottleneckWarning(UserWarning):
    """The device waits for videos, or is slow in the run's precision."""


def bf16_slowness() -> float:
    """How many times as long as in fp32 this processor takes for a product of bf16 matrices."""
    single = torch.ones(256, 256)
    shortest, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other
    for matrix in (single, single.bfloat16()):
        seconds = []
        for _ in range(4):  # the first one also sets up
            began = thread_time()
            matrix.mm(matrix)
            seconds.append(thread_time() - began)
        shortest.append(max(min(seconds), 1e-6))
    torch.set_num_threads(threads)
    return shortest[1] / shortest[0]


class Throughput(Callback):
    """Measures videos a second and the share of time in which the training loop waits for the loader.

    Both are logged as `throughput/videos_per_second` (of all processes) and `throughput/data_wait` (0 to 1), and shown
    by `VideoProgressBar`. Times are the host's: on an accelerator, which runs behind the host, a wait counts also where
    the accelerator still has work, so that a small share can be nothing and a large one is real.

    On a CPU a run in bf16 is warned of where the processor has no instructions for it.

    Args:
        every: Batches that a figure is taken over.
        warn_above: Share of waiting above which a warning names the loader as the slower side, once a run.
    """

    def __init__(self, every: int = 20, warn_above: float = 0.25) -> None:
        if every < 1:
            raise UserError(f"throughput.every is {every}: it counts batches, so it must be at least 1.")
        self.every, self.warn_above = every, warn_above
        self.videos_per_second: float | None = None
        self.data_wait: float | None = None
        self._seconds_a_batch: float | None = None
        self._warned = False
        self._began, self._waited, self._batches, self._videos = 0.0, 0.0, 0, 0
        self._end_of_last: float | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tries the precision of a run without an accelerator."""
        if trainer.strategy.root_device.type != "cpu" or not trainer.precision.startswith("bf16"):
            return
        if trainer.is_global_zero and (times := bf16_slowness()) > _SLOW:
            warnings.warn(
                f"trainer.precision is {trainer.precision}, and this processor takes {times:.0f} times as long for a "
                "product of bf16 matrices as for one of fp32 matrices. Without a GPU, set --trainer.precision 32-true.",
                BottleneckWarning,
                stacklevel=2,
            )

    def seconds_left(self, trainer: Trainer) -> timedelta | None:
        """Until training ends, validation not counted; None where that is not known."""
        if self._seconds_a_batch is None:
            return None
        done = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        totals: list[float] = []
        if trainer.max_steps > 0:
            totals.append(trainer.max_steps * trainer.accumulate_grad_batches)
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            totals.append(trainer.max_epochs * trainer.num_training_batches)
        if not totals or min(totals) == float("inf"):
            return None
        return timedelta(seconds=round(max(0.0, min(totals) - done) * self._seconds_a_batch))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Does not count the start of the workers."""
        self._restart()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Does not count validation as waiting."""
        self._restart()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The loader has delivered."""
        if self._end_of_last is not None:
            self._waited += perf_counter() - self._end_of_last

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step is done."""
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
            self._tell(trainer)
            self._restart(now)

    def _restart(self, began: float | None = None) -> None:
        """A new window; without a time, the next batch only starts the clock."""
        self._began, self._end_of_last = began or 0.0, began
        self._waited, self._batches, self._videos = 0.0, 0, 0

    def _measure(self, now: float, processes: int) -> None:
        elapsed = max(now - self._began, 1e-9)
        self.videos_per_second = self._videos * processes / elapsed
        self.data_wait = self._waited / elapsed
        self._seconds_a_batch = elapsed / self._batches

    def _tell(self, trainer: Trainer) -> None:
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
            workers = f"{data.loading.workers} workers, " if isinstance(data, VideoDataModule) else ""
            warnings.warn(
                f"Loading is the slower side: {100 * self.data_wait:.0f} % of the time is spent waiting for videos "
                f"({workers}{os.cpu_count()} cores, {self.videos_per_second:.1f} videos/s). Raise data.loading.workers "
                f"up to the cores of a device, or rewrite the videos for sparse reading with `ost data transcode`.",
                BottleneckWarning,
                stacklevel=2,
            )
