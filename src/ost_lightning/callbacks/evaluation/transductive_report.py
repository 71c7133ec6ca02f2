"""Report of a test with a test-time cache, under a protocol of its own."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from ost_lightning.analysis.results.transductive import PROTOCOL, TransductiveScore, transductive_score
from ost_lightning.callbacks.recognition import recognition_task, run_folder
from ost_lightning.callbacks.reporting.results_writer import ResultsWriter
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import (
    SCORED,
    EmbeddedBatch,
    ScoredBatch,
    TransductiveCache,
    evaluation_sets,
    prediction_columns,
    prediction_row,
    predictions,
)
from ost_lightning.files import open_csv
from ost_lightning.vocabulary import AS_TRAINED

TRANSDUCTIVE_PREDICTIONS: Final = "transductive_predictions.csv"
"""File with the adapted predictions, in the run's folder."""


@dataclass(slots=True)
class _Videos:
    """Probabilities and frames of the readable videos of one set, with one set of weights, in batches."""

    probabilities: list[Tensor] = field(default_factory=list)
    frames: list[Tensor] = field(default_factory=list)


class TransductiveReport(Callback):
    """Scores every video of a test also with a cache of the test's most confident videos.

    No label is used and nothing is trained, but a score then depends on the test's other videos. Such scores are
    transductive: they have a table of their own in `results.md`, a key of their own in `results.json`, and
    `transductive_predictions.csv` with the column `protocol`. They are never among the other scores, in any table.

    The report covers the task's weights and all mixtures that are reported; predictions are those of the task's
    weights. The embeddings of all frames are kept in memory until the end of the test.

    Args:
        cache: Settings of the cache.
    """

    def __init__(self, cache: TransductiveCache = TransductiveCache()) -> None:  # frozen
        self.cache = cache
        self._weights: dict[str, str] = {}
        self._videos: dict[tuple[str, str], _Videos] = {}
        self._scored: dict[str, list[ScoredBatch]] = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts collecting.

        Raises:
            UserError: If there are several processes, or the probabilities of a video don't sum to 1.
        """
        task = recognition_task(self, pl_module)
        if trainer.world_size > 1:
            raise UserError(
                f"TransductiveReport needs all videos of the test in one process, but there are {trainer.world_size}: "
                "test with --trainer.devices 1, or remove the callback."
            )
        if task.video_clip.scores == "sigmoid":
            raise UserError(
                "TransductiveReport needs probabilities that sum to 1 over classes, but scores is sigmoid: set "
                "model.video_clip.scores to softmax, or remove the callback."
            )
        reported = {name: scorer.weights for name, scorer in task.scorers.items() if scorer.reported}
        self._weights = {AS_TRAINED: AS_TRAINED, **reported}
        self._videos, self._scored = defaultdict(_Videos), defaultdict(list)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the probabilities and embeddings of a batch."""
        scored: ScoredBatch = outputs[SCORED]
        videos = scored.videos
        for name, weights in self._weights.items():
            if len(scored.probabilities[name]):
                kept = self._videos[scored.set.name, name]
                kept.probabilities.append(scored.probabilities[name].cpu())
                kept.frames.append(videos.embeddings[weights].mean(1).cpu())
        about = EmbeddedBatch({}, videos.labels.cpu(), videos.decoded, videos.ids, videos.failures, videos.spans)
        self._scored[scored.set.name].append(ScoredBatch(scored.set, about, {}))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adapts the scores, logs them, and passes them to the results."""
        task = recognition_task(self, pl_module)
        task.evaluation.results()  # raises an error if scores are not finite
        scores: dict[str, dict[str, TransductiveScore]] = {}
        rows: list[list[str]] = []
        for one in evaluation_sets(trainer.test_dataloaders):
            batches = self._scored[one.name]
            ids = [id_ for batch in batches for id_ in _readable_ids(batch.videos)]
            none = torch.zeros(0, dtype=torch.int64)
            labels = torch.cat([none, *(batch.videos.readable_labels for batch in batches)])
            undecodable = sum(len(batch.videos) for batch in batches) - len(ids)
            scores[one.name] = {}
            for name in self._weights:
                adapted = self._adapted(one.name, name, len(one.labels), ids)
                score = transductive_score(adapted, labels, undecodable, asdict(self.cache))
                scores[one.name][name] = score
                prefix = f"test/{one.name}" if name == AS_TRAINED else f"test/{one.name}/{name}"
                for figure in ("top1", "top5"):
                    task.log(f"{prefix}/{figure}_{PROTOCOL}", getattr(score, figure), sync_dist=False)
                if name == AS_TRAINED:
                    rows += _rows(batches, adapted)
        for callback in trainer.callbacks:  # type: ignore[attr-defined] # set at run time
            if isinstance(callback, ResultsWriter):
                callback.transductive_scores = scores
        folder = run_folder(trainer)
        if folder is not None:
            _write(rows, folder / TRANSDUCTIVE_PREDICTIONS)
        self._forget()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Frees the embeddings."""
        self._forget()

    def _adapted(self, set_name: str, name: str, classes: int, ids: list[str]) -> Tensor:
        kept = self._videos.get((set_name, name))
        if kept is None:  # no video could be read
            return torch.zeros(0, classes)
        return self.cache.adapt(torch.cat(kept.probabilities), torch.cat(kept.frames), ids)

    def _forget(self) -> None:
        self._videos, self._scored = {}, {}


def _readable_ids(videos: EmbeddedBatch) -> list[str]:
    return [id_ for id_, decoded in zip(videos.ids, videos.decoded.tolist(), strict=True) if decoded]


def _rows(batches: list[ScoredBatch], adapted: Tensor) -> list[list[str]]:
    """Returns the rows of the table of predictions."""
    parts = adapted.split([int(batch.videos.decoded.sum()) for batch in batches])
    return [
        [PROTOCOL, *prediction_row(video)]
        for batch, part in zip(batches, parts, strict=True)
        for video in predictions(ScoredBatch(batch.set, batch.videos, {AS_TRAINED: part}))
    ]


def _write(rows: list[list[str]], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with open_csv(file) as handle:
        table = CsvWriter(handle)
        table.writerow(["protocol", *prediction_columns()])
        table.writerows(rows)
    rank_zero_info(f"Predictions of the {PROTOCOL} protocol written to {file}")
