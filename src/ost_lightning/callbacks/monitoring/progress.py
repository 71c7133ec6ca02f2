"""A progress bar for people who wait for videos."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from ost_lightning.callbacks.monitoring.throughput import Throughput


class VideoProgressBar(RichProgressBar):
    """Lightning's progress bar with videos a second, the share of waiting for the loader, and the time left.

    Args:
        throughput: The callback that measures them in the same run.
    """

    def __init__(self, throughput: Throughput) -> None:
        super().__init__()
        self._throughput = throughput

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What is shown beside the bar."""
        shown: dict[str, Any] = dict(super().get_metrics(trainer, pl_module))
        shown.pop("v_num", None)  # the run's folder is told elsewhere
        meter = self._throughput
        if not trainer.training or meter.videos_per_second is None or meter.data_wait is None:
            return shown
        shown["videos/s"] = f"{meter.videos_per_second:.1f}"
        shown["waiting"] = f"{100 * meter.data_wait:.0f} %"
        left = meter.seconds_left(trainer)
        return shown if left is None else shown | {"left": str(left)}
