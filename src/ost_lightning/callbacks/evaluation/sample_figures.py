"""Figures of a validation: matching flow of a sample video, and confusion of the worst classes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ost_lightning.analysis import MatchingFlow, draw_confusion, draw_matching_flows, worst_classes
from ost_lightning.analysis.pictures import HINT, can_draw
from ost_lightning.callbacks.recognition import plan_matcher, recognition_task, run_folder
from ost_lightning.errors import UserError
from ost_lightning.evaluation import SCORED, ScoredBatch, evaluation_loaders, evaluation_sets
from ost_lightning.evaluation.metrics import ConfusionCounts
from ost_lightning.tasks import RecognitionTask
from ost_lightning.text import LabelSpace
from ost_lightning.video import ClipBatch
from ost_lightning.vocabulary import AS_TRAINED, counted


class SampleFigures(Callback):
    """Draws the matching flow of a video and the confusion of the worst classes, every few validations.

    For each validation set it writes `figures/epoch{e}-step{s}/{set}_confusion.png`. If the matcher computes a plan, it
    also writes `{set}_flow.png`: the flow of the first video to the recognized class and to the true one. W&B gets the
    same figures, and a table of the worst classes. The figures reuse the embeddings of the validation: nothing is
    encoded again.

    Args:
        every: Number of validations per validation with figures.
        classes: Number of worst classes to show.
    """

    def __init__(self, every: int = 3, classes: int = 12) -> None:
        if every < 1 or classes < 1:
            raise UserError(f"SampleFigures has every={every} and classes={classes}: both must be at least 1.")
        self.every, self.classes = every, classes
        self._validations = 0
        self._due, self._can_draw = False, False
        self._folder: Path | None = None
        self._confusion: dict[str, ConfusionCounts] = {}
        self._flows: dict[str, tuple[str, dict[str, MatchingFlow], tuple[float, ...]]] = {}
        self._labels: dict[str, LabelSpace] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Warns if matplotlib is missing; training continues without figures."""
        if stage not in ("fit", "validate"):
            return
        self._can_draw = can_draw()
        if not self._can_draw:
            rank_zero_warn(f"SampleFigures draws nothing, because matplotlib is missing: {HINT}.")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts collecting predictions if figures are due."""
        self._folder = run_folder(trainer)
        due = self._validations % self.every == 0 and not trainer.sanity_checking
        self._due = due and self._can_draw and self._folder is not None
        if not self._due:
            return
        self._labels = {one.name: one.labels for one in evaluation_sets(trainer.val_dataloaders)}
        # every process needs every metric, because metrics are summed over processes
        self._confusion = {
            name: ConfusionCounts(len(labels)).to(pl_module.device) for name, labels in self._labels.items()
        }
        self._flows = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: ClipBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Adds a batch to the confusion matrix, and keeps the first video's flow."""
        scored: ScoredBatch = outputs[SCORED]
        videos, name = scored.videos, scored.set.name
        labels = videos.readable_labels
        if not self._due or not len(labels):
            return
        probabilities = scored.probabilities[AS_TRAINED]
        predicted = probabilities.topk(1).indices[:, 0]  # which breaks ties as the metric does
        self._confusion[name].update(probabilities, labels)
        task = recognition_task(self, pl_module)
        if name not in self._flows:
            first, best, true = int(batch.decoded.nonzero()[0]), int(predicted[0]), int(labels[0])
            names = self._labels[name].names
            title = f"{batch.ids[first]}: recognized as '{names[best]}', ground truth: '{names[true]}'"
            flows = _flows(task, scored, batch.frames[first, 0].cpu(), dict.fromkeys((best, true)))
            loader = evaluation_loaders(trainer.val_dataloaders)[dataloader_idx]
            self._flows[name] = title, flows, loader.clips.seconds_of(batch.ids[first]) if flows else ()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the figures that are due."""
        # counted at the end only: a run that was stopped during a validation repeats it when resumed
        self._validations += not trainer.sanity_checking
        if not self._due or self._folder is None:
            return
        recognition_task(self, pl_module).evaluation.results()  # draws nothing if scores are not finite
        folder = self._folder / "figures" / f"epoch{trainer.current_epoch:03d}-step{trainer.global_step:06d}"
        for name, metric in self._confusion.items():
            confusion = metric.compute().cpu()
            if trainer.is_global_zero:
                self._draw(trainer, name, confusion, folder)

    def state_dict(self) -> dict[str, Any]:
        """Returns the number of validations so far."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the number of validations from a checkpoint."""
        self._validations = state_dict["validations"]

    def _draw(self, trainer: Trainer, name: str, confusion: Tensor, folder: Path) -> None:
        names, pictures = self._labels[name].names, {}
        pictures["confusion"] = folder / f"{name}_confusion.png"
        labels, guesses, counts = confusion.T
        videos, right = int(counts.sum()), int(counts[labels == guesses].sum())
        about = f"{name}: Top-1 {right / max(videos, 1):.1%} of {counted(videos, 'readable video')}".replace("%", " %")
        draw_confusion(confusion, names, self.classes, f"{about}, worst classes", pictures["confusion"])
        title, flows, seconds = self._flows.get(name, ("", {}, ()))
        if flows:
            pictures["flow"] = folder / f"{name}_flow.png"
            draw_matching_flows(flows, title, pictures["flow"], seconds)
        rows = [
            [entry.name, entry.videos, entry.recall, entry.taken_for, entry.mistakes]
            for entry in worst_classes(confusion, names, self.classes)
        ]
        columns = ["class", "videos", "recall", "taken for", "mistakes"]
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for what, file in pictures.items():
                    logger.log_image(f"{name}/{what}", [str(file)], step=trainer.global_step)
                logger.log_table(f"{name}/worst_classes", columns=columns, data=rows, step=trainer.global_step)


def _flows(
    task: RecognitionTask, scored: ScoredBatch, frames: Tensor, classes: Iterable[int]
) -> dict[str, MatchingFlow]:
    """Returns the flows of a batch's first readable video, in its first view, to the descriptors of some classes.

    The result is empty if the matcher has no plan, or a temporal head pools the frames.
    """
    head, matcher = task.video_clip.temporal_head, plan_matcher(task)
    if matcher is None or (head is not None and head.pools):
        return {}
    texts = task.evaluation.texts(scored.set.name, task.evaluation.scorers[AS_TRAINED])
    embedded, labels = scored.videos.embeddings[AS_TRAINED][0, :1], scored.set.labels
    flows = {}
    for k in classes:
        name = labels.names[k]
        for kind in matcher.descriptor_kinds:
            cosines, plan = matcher.cosines_and_plan(embedded, texts[kind][k, None], kind)
            share = (plan[0, 0] * plan.shape[2]).float().cpu()
            written = getattr(labels.descriptors[name], kind)[: share.shape[1]]
            flows[f"{name}: {kind.capitalize()} Descriptors"] = MatchingFlow(
                frames, share, cosines[0, 0].float().cpu(), written
            )
    return flows
