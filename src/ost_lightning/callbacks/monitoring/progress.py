"""Progress bar with the speed of training."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from ost_lightning.callbacks.monitoring.throughput import Throughput


class VideoProgressBar(RichProgressBar):
    """Lightning's progress bar with videos per second, the share of time spent waiting for the loader, and time left.

    Args:
        throughput: Callback of the same run that measures these figures.
    """

    def __init__(self, throughput: Throughput) -> None:
        super().__init__()
        self._throughput = throughput

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns the figures shown beside the bar."""
        shown: dict[str, Any] = dict(super().get_metrics(trainer, pl_module))
        shown.pop("v_num", None)  # the run's folder is printed elsewhere
        meter = self._throughput
        if not trainer.training or meter.videos_per_second is None or meter.data_wait is None:
            return shown
        shown["videos/s"] = f"{meter.videos_per_second:.1f}"
        shown["waiting"] = f"{100 * meter.data_wait:.0f} %"
        left = meter.seconds_left(trainer)
        return shown if left is None else shown | {"left": str(left)}
