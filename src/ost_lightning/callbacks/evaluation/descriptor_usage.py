"""Which descriptors work, found out during a test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from ost_lightning.analysis.descriptor_usage import (
    ClassUse,
    DescriptorFlows,
    class_uses,
    usage_csv,
    usage_json,
    usage_markdown,
)
from ost_lightning.callbacks.recognition import plan_matcher, recognition_task, run_folder
from ost_lightning.evaluation import SCORED, EvaluationSet, ScoredBatch, Scorer, evaluation_sets
from ost_lightning.files import write_text_atomically
from ost_lightning.matching import CategoryName, PlanMatcher
from ost_lightning.models import FrameEmbeddings
from ost_lightning.tasks import RecognitionTask
from ost_lightning.vocabulary import AS_TRAINED, DescriptorKind

_BY_NAME: Final = "descriptor usage, category names"


class DescriptorUsage(Callback):
    """Records, while a test runs, where each video's transport to the descriptors of its own class goes.

    Writes `descriptor_usage.json`, `.csv` and `.md`: for each class and descriptor the transported mass, the cosines
    and the share of frames that it leads in or is closest to; descriptors that no video uses; classes that gain or lose
    against recognition by the category name, with the same weights and frames. It is about the task's own weights, not
    about mixtures, and encodes no frame again. A run whose matcher has no plan is left alone, with a message.

    Args:
        folder: Folder for the tables; the run's folder if not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._matcher: PlanMatcher | None = None
        self._sets: list[EvaluationSet] = []
        self._flows: dict[str, DescriptorFlows] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds a scorer that recognizes by category names."""
        task = recognition_task(self, pl_module)
        self._matcher, self._flows = plan_matcher(task), {}
        if self._matcher is None:
            name = type(task.matcher).__name__
            rank_zero_info(f"DescriptorUsage: {name} has no plan of this model's frames, so that nothing is recorded")
            return
        self._sets = evaluation_sets(trainer.test_dataloaders)
        task.scorers[_BY_NAME] = _by_name(task, self._sets)
        # every process has every metric: they are summed over processes
        self._flows = {
            one.name: DescriptorFlows(len(one.labels), self._counts(task, self._matcher)).to(task.device)
            for one in self._sets
        }

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts the batch, unless none of its videos could be decoded."""
        task, matcher = recognition_task(self, pl_module), self._matcher
        found: ScoredBatch = outputs[SCORED]
        labels = found.videos.readable_labels
        if matcher is None or not len(labels):
            return
        embedded = found.videos.embeddings[AS_TRAINED]
        texts = task.evaluation.texts(found.set.name, task.evaluation.scorers[AS_TRAINED])
        flows = {kind: _own_class(matcher, embedded, texts[kind], labels, kind) for kind in matcher.kinds}
        self._flows[found.set.name].update(
            labels, flows, found.probabilities[AS_TRAINED], found.probabilities[_BY_NAME]
        )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the tables."""
        if self._matcher is None:
            return
        counts = self._counts(recognition_task(self, pl_module), self._matcher)
        uses = {one.name: class_uses(one.labels, self._flows[one.name].compute(), counts) for one in self._sets}
        folder = self.folder or run_folder(trainer)
        if folder is not None and trainer.is_global_zero:
            _write(uses, folder)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the scorer away."""
        recognition_task(self, pl_module).scorers.pop(_BY_NAME, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Takes the scorer away."""
        if isinstance(pl_module, RecognitionTask):
            pl_module.scorers.pop(_BY_NAME, None)

    @staticmethod
    def _counts(task: RecognitionTask, matcher: PlanMatcher) -> dict[DescriptorKind, int]:
        return dict.fromkeys(matcher.kinds, task.descriptors_per_class)


def _by_name(task: RecognitionTask, sets: list[EvaluationSet]) -> Scorer:
    """Recognition by category names, with the task's weights and templates."""
    sentences = {
        one.name: task.templates.apply(one.labels, CategoryName.kinds, task.descriptors_per_class) for one in sets
    }
    return Scorer(AS_TRAINED, sentences, CategoryName(), reported=False)


def _own_class(
    matcher: PlanMatcher, embedded: FrameEmbeddings, texts: Tensor, labels: Tensor, kind: DescriptorKind
) -> tuple[Tensor, Tensor]:
    """Cosines and plan of each video against its own class, (B, V, T, N)."""
    shape = (*embedded.shape[:3], texts.shape[1])
    cosines, plan = torch.empty(shape, device=embedded.device), torch.empty(shape, device=embedded.device)
    for label in labels.unique().tolist():
        mine = labels == label
        found = matcher.cosines_and_plan(embedded[mine].float().flatten(0, 1), texts[label, None].float(), kind)
        cosines[mine], plan[mine] = (part[:, 0].unflatten(0, (-1, shape[1])) for part in found)
    return cosines, plan


def _write(uses: Mapping[str, tuple[ClassUse, ...]], folder: Path) -> None:
    for suffix, text in (("json", usage_json(uses)), ("csv", usage_csv(uses)), ("md", usage_markdown(uses))):
        write_text_atomically(folder / f"descriptor_usage.{suffix}", text)
    rank_zero_info(f"which descriptors work is in {folder / 'descriptor_usage.md'}")
