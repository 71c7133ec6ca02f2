"""Predictions as a table."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.recognition import recognition_task, run_folder
from ost_lightning.callbacks.reporting.tested_checkpoint import report_weights
from ost_lightning.tasks import Prediction, RecognitionTask

_ABOUT: Final = ("video", "set", "start", "end", "label", "error")


class PredictionWriter(Callback):
    """Writes `predictions.csv` while predicting.

    A row has the video's id, its evaluation set, start and end if it is a part of a video, the known label, the error
    if it could not be read, and class and probability of each of the likeliest classes. What there is not stays empty.

    With several processes each writes a file of its own.

    Args:
        folder: Where; the run's folder if not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._file: Path | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the file and empties it; says so if nothing that was trained predicts."""
        report_weights(trainer, recognition_task(self, pl_module))
        folder = self.folder or run_folder(trainer)
        self._file = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        suffix = f"-{trainer.global_rank}" if trainer.world_size > 1 else ""
        self._file = folder / f"predictions{suffix}.csv"
        columns = [
            column for k in range(1, RecognitionTask.shown_classes + 1) for column in (f"class_{k}", f"probability_{k}")
        ]
        self._file.write_text(",".join([*_ABOUT, *columns]) + "\n", encoding="utf-8")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Appends a batch."""
        predictions: Sequence[Prediction] = outputs
        if self._file is None:
            return
        with self._file.open("a", newline="", encoding="utf-8") as handle:
            rows = csv.writer(handle)
            for prediction in predictions:
                rows.writerow(_row(prediction))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tells where the file is."""
        if self._file is not None:
            rank_zero_info(f"predictions are in {self._file}")


def _row(prediction: Prediction) -> list[str]:
    """One field for each column."""
    start, end = ("" if time is None else f"{time}" for time in (prediction.start, prediction.end))
    guesses = zip(prediction.classes, prediction.probabilities, strict=True)
    likeliest = [field for name, share in guesses for field in (name, f"{share:.4f}")]
    lacking = 2 * RecognitionTask.shown_classes - len(likeliest)
    about = [prediction.id, prediction.set, start, end, prediction.label, prediction.error]
    return [*about, *likeliest, *[""] * lacking]
