"""Cost of a training, measured while it runs: trained parameters, time per step, and peak memory."""

import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

COST = "cost.json"
_KIB_PER_UNIT = 1 / 1024 if sys.platform == "darwin" else 1


class TrainingCost(Callback):
    """Writes the cost of a training on a CPU to `cost.json` in the run's folder.

    A step begins with a batch in memory, so that decoding is no part of it. Its time is that of the processor, which
    other programs on the machine don't change; with one thread, it is the time on a free core. The peak of memory is
    what training adds to the loaded model.
    """

    def __init__(self) -> None:
        self._steps: list[float] = []
        self._began = self._resident = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Notes the memory before the training."""
        self._resident = _peak()

    def on_train_batch_start(self, *args: Any) -> None:
        """Begins the time of a step."""
        self._began = time.process_time()

    def on_train_batch_end(self, *args: Any) -> None:
        """Ends the time of a step."""
        self._steps.append(time.process_time() - self._began)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the file."""
        cost = {
            "parameters": sum(weights.numel() for weights in pl_module.parameters() if weights.requires_grad),
            "step_seconds": statistics.median(self._steps),
            "peak_mib": _peak() - self._resident,
            "last_loss": float(trainer.callback_metrics["train/loss"]),
        }
        (Path(str(trainer.log_dir)) / COST).write_text(json.dumps(cost))


def _peak() -> float:
    """Largest resident set of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB_PER_UNIT / 1024
