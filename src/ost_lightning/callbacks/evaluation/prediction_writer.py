"""Predictions as a CSV file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.recognition import recognition_task, run_folder
from ost_lightning.callbacks.reporting.tested_checkpoint import report_weights
from ost_lightning.datamodules import LabeledVideos, VideoDataModule
from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import SCORED, PendingPredictions, Prediction, prediction_columns, prediction_row
from ost_lightning.files import open_csv
from ost_lightning.video.storage import address_text
from ost_lightning.vocabulary import EvaluationStage

LABEL_SPACES: Final = "label_spaces"
"""Folder of the label spaces of a test, in the folder of its predictions."""


class PredictionWriter(BasePredictionWriter):
    """Writes `predictions.csv` in a prediction or test, one row per video.

    A row contains id, evaluation set, start and end of the part, known label, the error of an unreadable video, name
    and probability of each of the likeliest classes, probability of the label, and path. Unknown fields are left empty.
    With several processes, each process writes a separate file.

    A test also writes the label space of each set to `label_spaces/{set}`, so that `ost report` can explain single
    videos.

    Args:
        folder: Folder for the table; the run's folder if not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._file: Path | None = None
        self._pending: list[PendingPredictions] = []
        self._paths: dict[tuple[str, str], str] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Creates the file, and prints which weights are used if no checkpoint is given."""
        report_weights(trainer, recognition_task(self, pl_module))
        self._create(trainer, "predict")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts collecting."""
        self._pending = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects the predictions of a batch; writing them would wait for the device."""
        self._pending.append(PendingPredictions.of(outputs[SCORED]))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes all rows, and prints the path of the file; a test that was stopped leaves none."""
        self._create(trainer, "test")
        for pending in self._pending:
            self._append(pending.read())
        self._pending = []
        if self._file is not None and trainer.is_global_zero:
            for name, videos in _listed(trainer, "test").items():
                videos.labels.save(self._file.parent / LABEL_SPACES / name)
        self.on_predict_end(trainer, pl_module)

    def _create(self, trainer: Trainer, stage: EvaluationStage) -> None:
        folder = self.folder or run_folder(trainer)
        self._file = None
        if folder is None:
            return
        self._paths = {}
        for name, videos in _listed(trainer, stage).items():
            for record in videos.records:
                path = address_text(record.path)
                # an id may be that of several videos, whose paths are then unknown
                self._paths[name, record.id] = path if self._paths.get((name, record.id), path) == path else ""
        folder.mkdir(parents=True, exist_ok=True)
        suffix = f"-{trainer.global_rank}" if trainer.world_size > 1 else ""
        self._file = folder / f"predictions{suffix}.csv"
        self._file.write_text(",".join(prediction_columns()) + "\n", encoding="utf-8")

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Sequence[Prediction],
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Appends one row per video of a batch."""
        self._append(prediction)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the path of the file."""
        if self._file is not None:
            rank_zero_info(f"Predictions written to {self._file}")

    def _append(self, predictions: Sequence[Prediction]) -> None:
        if self._file is not None:
            with open_csv(self._file, "a") as handle:
                CsvWriter(handle).writerows(
                    prediction_row(video._replace(path=self._paths.get((video.set, video.id), "")))
                    for video in predictions
                )


def _listed(trainer: Trainer, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
    """Returns the videos of each set; none without a data module, whose loaders have no lists."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return data.evaluation_sets(stage) if isinstance(data, VideoDataModule) else {}
