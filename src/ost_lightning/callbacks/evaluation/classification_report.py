"""Report of a test by class: table, file and picture."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from rich.console import Console
from rich.table import Table

from ost_lightning.analysis import ClassErrors, class_errors, draw_confusion, worst_classes
from ost_lightning.analysis.pictures import HINT, can_draw
from ost_lightning.callbacks.recognition import run_folder
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import SCORED, EvaluationSet, ScoredBatch, evaluation_sets
from ost_lightning.evaluation.metrics import ConfusionCounts
from ost_lightning.files import write_text_atomically
from ost_lightning.video import ClipBatch
from ost_lightning.vocabulary import AS_TRAINED, counted

_COLUMNS = ("class", "videos", "recall", "precision", "mistaken for", "mistakes")


class ClassificationReport(Callback):
    """Reports the recall and precision of each class in a test, and what it is mistaken for.

    For each test set it prints a table of the worst classes, and writes all classes to `{set}_classes.csv` and the
    confusion of the worst ones to `{set}_confusion.png` in the run's folder. It uses the scores of the test: nothing is
    encoded again.

    Args:
        classes: Number of worst classes in the printed table and in the picture.
    """

    def __init__(self, classes: int = 20) -> None:
        if classes < 1:
            raise UserError(f"ClassificationReport.classes is {classes}: it must be at least 1.")
        self.classes = classes
        self._folder: Path | None = None
        self._counts: dict[str, ConfusionCounts] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting."""
        self._folder = run_folder(trainer)
        # every process needs every count, because counts are summed over processes
        self._counts = {
            one.name: ConfusionCounts(len(one.labels)).to(pl_module.device)
            for one in evaluation_sets(trainer.test_dataloaders)
        }

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: ClipBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts a batch."""
        scored: ScoredBatch = outputs[SCORED]
        videos = scored.videos
        lost = torch.nonzero(~videos.decoded)[:, 0]  # in host memory
        unreadable = videos.labels[lost.to(videos.labels.device)] if len(lost) else None
        self._counts[scored.set.name].update(scored.probabilities[AS_TRAINED], videos.readable_labels, unreadable)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints and writes the report."""
        for evaluation_set in evaluation_sets(trainer.test_dataloaders):
            confusion = self._counts[evaluation_set.name].compute()
            if trainer.is_global_zero and self._folder is not None:
                self._report(evaluation_set, confusion.cpu(), self._folder)
        self._counts = {}

    def _report(self, evaluation_set: EvaluationSet, confusion: torch.Tensor, folder: Path) -> None:
        name, names = evaluation_set.name, evaluation_set.labels.names
        every, worst = class_errors(confusion, names), worst_classes(confusion, names, self.classes)
        labels, guesses, counts = confusion.T
        videos, right = int(counts.sum()), int(counts[labels == guesses].sum())
        if not videos:
            return
        shown = counted(len(every), "class", "classes")
        if len(worst) < len(every):
            shown = f"the {len(worst)} worst of {shown}"
        title = f"{name}: Top-1 {right / videos:.1%} of {counted(videos, 'video')}, {shown}".replace("%", " %")
        _print_table(worst, title)
        files = [folder / f"{name}_classes.csv"]
        write_text_atomically(files[0], _csv(every))
        if can_draw():
            files.append(folder / f"{name}_confusion.png")
            draw_confusion(confusion, names, self.classes, title, files[1])
        else:
            rank_zero_info(f"ClassificationReport draws no confusion, because matplotlib is missing: {HINT}.")
        rank_zero_info(f"Classes of {name} written to {' and '.join(map(str, files))}")


def _print_table(classes: Sequence[ClassErrors], title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in (_COLUMNS[0], _COLUMNS[4]) else "right", overflow="fold")
    for entry in classes:
        precision = "" if entry.precision is None else f"{100 * entry.precision:.1f}"
        mistakes = str(entry.mistakes) if entry.mistakes else ""
        row = [str(entry.videos), f"{100 * entry.recall:.1f}", precision, entry.taken_for, mistakes]
        table.add_row(entry.name, *row)
    Console(markup=False, highlight=False).print(table)


def _csv(classes: Sequence[ClassErrors]) -> str:
    text = io.StringIO(newline="")
    rows = CsvWriter(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for entry in classes:
        precision = "" if entry.precision is None else f"{entry.precision:.4f}"
        rows.writerow([entry.name, entry.videos, f"{entry.recall:.4f}", precision, entry.taken_for, entry.mistakes])
    return text.getvalue()
