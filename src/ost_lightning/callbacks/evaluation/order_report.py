"""Report of an evaluation on the order of frames: what is recognized with reversed and shuffled frames."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.analysis.results.order_report import (
    OrderScore,
    class_orders,
    class_table,
    order_csv,
    order_score,
    score_table,
)
from ost_lightning.analysis.terminal_table import print_markdown
from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.callbacks.recognition import recognition_task, run_folder
from ost_lightning.callbacks.reporting.results_writer import ResultsWriter
from ost_lightning.errors import UserError
from ost_lightning.evaluation import (
    EvaluationSet,
    FrameOrder,
    ReversedFrames,
    ScoredBatch,
    Scorer,
    ShuffledFrames,
    evaluation_loaders,
    evaluation_sets,
)
from ost_lightning.evaluation.metrics import OrderHits
from ost_lightning.files import write_text_atomically
from ost_lightning.tasks import RecognitionTask
from ost_lightning.vocabulary import AS_TRAINED, EvaluationStage, counted

DEFAULT_SHUFFLES: Final = 5
"""Number of random orders of each video, unless it is set."""


class OrderReport(ScorerCallback):
    """Scores every video of a test or validation also with its frames reversed and shuffled.

    What is recognized with shuffled frames shows in single frames; the rest of the accuracy depends on their order.
    The report covers the task's weights and all mixtures that are reported. It is printed, added to a test's
    `results.json` and `results.md`, and written by class to `{set}_order.csv` in the run's folder. A validation during
    training has no report.

    Embeddings are reordered, so no frame is decoded or encoded again. Only with a temporal head, or an encoder that
    relates frames, is every order encoded; the embedding cache is not used then.

    Args:
        shuffles: Number of random orders of each video, whose accuracies are averaged.
        seed: Seed of the random orders, which depend on nothing else but the video's id.
        classes: Number of classes in the printed table: those that lose most without the order.
    """

    def __init__(self, shuffles: int = DEFAULT_SHUFFLES, seed: int = 0, classes: int = 10) -> None:
        super().__init__()
        for name, value in (("shuffles", shuffles), ("classes", classes)):
            if value < 1:
                raise UserError(f"OrderReport.{name} is {value}: it must be at least 1.")
        self.shuffles, self.seed, self.classes = shuffles, seed, classes
        self._scorers: dict[str, list[str]] = {}
        self._hits: dict[tuple[str, str], OrderHits] = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds a scorer for each order to each reported one, after all callbacks have added theirs.

        Raises:
            UserError: If the clips have a single frame.
        """
        self._start(recognition_task(self, pl_module), trainer.test_dataloaders)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds the scorers to a validation, unless it belongs to a training.

        Raises:
            UserError: If the clips have a single frame.
        """
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._start(recognition_task(self, pl_module), trainer.val_dataloaders)

    def _start(self, task: RecognitionTask, dataloaders: object) -> None:
        sets, loaders = evaluation_sets(dataloaders), evaluation_loaders(dataloaders)
        if min((loader.frames for loader in loaders), default=2) < 2:
            raise UserError("An order report needs clips of 2 frames or more, but data.clips.frames is 1.")
        orders: list[FrameOrder] = [ReversedFrames(), *(ShuffledFrames(self.seed, k) for k in range(self.shuffles))]
        reported = {AS_TRAINED: task.scorer(sets)}
        reported |= {name: scorer for name, scorer in task.scorers.items() if scorer.reported}
        self._scorers = {name: [name] for name in reported}
        for name, scorer in reported.items():
            # a copy, because a matcher counts its problems that did not converge
            matcher = copy.deepcopy(scorer.matcher)
            for order in orders:
                added = f"order report, {name}, {order}"
                self.add_scorers(task, {added: Scorer(scorer.weights, scorer.sentences, matcher, False, order)})
                self._scorers[name].append(added)
        # every process needs every count, because counts are summed over processes
        self._hits = {
            (one.name, name): OrderHits(1 + len(orders), slice(2, None), len(one.labels)).to(task.device)
            for one in sets
            for name in reported
        }

    def observe(self, task: RecognitionTask, scored: ScoredBatch, batch: Any) -> None:
        """Counts a batch."""
        videos = scored.videos
        lost = torch.nonzero(~videos.decoded)[:, 0]  # in host memory
        unreadable = videos.labels[lost.to(videos.labels.device)] if len(lost) else None
        for name, scorers in self._scorers.items():
            found = torch.stack([scored.probabilities[scorer] for scorer in scorers])
            self._hits[scored.set.name, name].update(found, videos.readable_labels, unreadable)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints and writes the report, and passes it to the results."""
        scores = self._finish(trainer, recognition_task(self, pl_module), trainer.test_dataloaders, "test")
        for callback in trainer.callbacks:  # type: ignore[attr-defined] # set at run time
            if isinstance(callback, ResultsWriter):
                callback.order_scores = scores

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints and writes the report."""
        if self._scorers:
            scores = self._finish(trainer, recognition_task(self, pl_module), trainer.val_dataloaders, "val")
            if trainer.is_global_zero:
                print_markdown(f"\n{score_table(scores)}\n")

    def remove_scorers(self, task: RecognitionTask, names: Sequence[str] | None = None) -> None:
        """Removes the scorers, and forgets their counts."""
        super().remove_scorers(task, names)
        self._scorers, self._hits = {}, {}

    def _finish(
        self, trainer: Trainer, task: RecognitionTask, dataloaders: object, stage: EvaluationStage
    ) -> dict[str, dict[str, OrderScore]]:
        task.evaluation.results()  # raises an error if scores are not finite, before anything is written
        folder, scores = run_folder(trainer), dict[str, dict[str, OrderScore]]()
        for one in evaluation_sets(dataloaders):
            counts = {name: self._hits[one.name, name].compute() for name in self._scorers}
            scores[one.name] = {
                name: order_score(found["right"].cpu(), found["videos"].cpu(), float(found["error"]), self.seed)
                for name, found in counts.items()
            }
            for name, score in scores[one.name].items():
                prefix = f"{stage}/{one.name}" if name == AS_TRAINED else f"{stage}/{one.name}/{name}"
                for figure in ("reversed", "shuffled"):
                    task.log(f"{prefix}/top1_{figure}", getattr(score, figure), sync_dist=False)
            if trainer.is_global_zero and folder is not None:
                self._write(one, counts, folder)
        return scores

    def _write(self, one: EvaluationSet, counts: dict[str, dict[str, torch.Tensor]], folder: Path) -> None:
        classes = {
            name: class_orders(found["right"].cpu(), found["videos"].cpu(), one.labels.names)
            for name, found in counts.items()
        }
        every = classes[AS_TRAINED]
        if not every:
            return
        losing = [found for found in every if found.order > 0]
        if losing:
            shown = losing[: self.classes]
            title = f"Order of frames, {one.name}, the {len(shown)} of {len(every)} classes that lose most without it"
            print_markdown(f"\n{title}:\n\n{class_table(shown)}\n")
        else:
            print_markdown(f"\n{one.name}: no class depends on the order of frames.\n")
        file = folder / f"{one.name}_order.csv"
        write_text_atomically(file, order_csv(classes))
        rank_zero_info(f"Order report of {counted(len(every), 'class', 'classes')} written to {file}")
