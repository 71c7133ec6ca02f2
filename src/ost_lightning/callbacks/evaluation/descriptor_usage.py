"""Statistics on the use of each descriptor, collected during a test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule, Trainer
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
from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.callbacks.recognition import plan_matcher, recognition_task, run_folder
from ost_lightning.evaluation import EvaluationSet, ScoredBatch, Scorer, evaluation_sets
from ost_lightning.files import write_text_atomically
from ost_lightning.matching import CategoryName, PlanMatcher
from ost_lightning.models import FrameEmbeddings
from ost_lightning.tasks import RecognitionTask
from ost_lightning.vocabulary import AS_TRAINED, DescriptorKind

_BY_NAME: Final = "descriptor usage, category names"


class DescriptorUsage(ScorerCallback):
    """Records how much mass each video transports to each descriptor of its true class.

    Writes `descriptor_usage.json`, `.csv` and `.md`. For each class and descriptor they contain the transported mass,
    the cosines, and the share of frames in which the descriptor leads or is closest. They also list descriptors that no
    video uses, and classes that gain or lose against recognition by category name with the same weights and frames.

    Only the task's own weights are analyzed, not mixtures. No frame is encoded again. If the matcher has no plan, the
    callback prints a message and does nothing.

    Args:
        folder: Folder for the tables; the run's folder if not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
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
            rank_zero_info(f"DescriptorUsage records nothing: {name} computes no transport plan with this model.")
            return
        self._sets = evaluation_sets(trainer.test_dataloaders)
        self.add_scorers(task, {_BY_NAME: _by_name(task, self._sets)})
        # every process needs every metric, because metrics are summed over processes
        self._flows = {
            one.name: DescriptorFlows(len(one.labels), self._counts(task, self._matcher)).to(task.device)
            for one in self._sets
        }

    def observe(self, task: RecognitionTask, scored: ScoredBatch, batch: Any) -> None:
        """Adds the batch to the statistics, unless none of its videos could be decoded."""
        matcher, labels = self._matcher, scored.videos.readable_labels
        if matcher is None or not len(labels):
            return
        embedded = scored.videos.embeddings[AS_TRAINED]
        texts = task.evaluation.texts(scored.set.name, task.evaluation.scorers[AS_TRAINED])
        flows = {kind: _true_class(matcher, embedded, texts[kind], labels, kind) for kind in matcher.descriptor_kinds}
        probabilities = scored.probabilities
        self._flows[scored.set.name].update(labels, flows, probabilities[AS_TRAINED], probabilities[_BY_NAME])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the tables."""
        if self._matcher is None:
            return
        task = recognition_task(self, pl_module)
        task.evaluation.results()  # raises an error if scores are not finite, before anything is written
        counts = self._counts(task, self._matcher)
        uses = {one.name: class_uses(one.labels, self._flows[one.name].compute(), counts) for one in self._sets}
        folder = self.folder or run_folder(trainer)
        if folder is not None and trainer.is_global_zero:
            _write(uses, folder)

    @staticmethod
    def _counts(task: RecognitionTask, matcher: PlanMatcher) -> dict[DescriptorKind, int]:
        return dict.fromkeys(matcher.descriptor_kinds, task.descriptors_per_class)


def _by_name(task: RecognitionTask, sets: list[EvaluationSet]) -> Scorer:
    """Returns a scorer that recognizes by category names, with the task's weights and templates."""
    sentences = {
        one.name: task.templates.apply(
            one.labels, CategoryName.kinds, task.descriptors_per_class, task.video_clip.token_count
        )
        for one in sets
    }
    return Scorer(AS_TRAINED, sentences, CategoryName(), reported=False)


def _true_class(
    matcher: PlanMatcher, embedded: FrameEmbeddings, texts: Tensor, labels: Tensor, kind: DescriptorKind
) -> tuple[Tensor, Tensor]:
    """Returns cosines and plan of each video against its true class, (B, V, T, N) each."""
    shape = (*embedded.shape[:3], texts.shape[1])
    cosines, plan = torch.empty(shape, device=embedded.device), torch.empty(shape, device=embedded.device)
    for label in labels.unique().tolist():
        chosen = labels == label
        found = matcher.cosines_and_plan(embedded[chosen].float().flatten(0, 1), texts[label, None].float(), kind)
        cosines[chosen], plan[chosen] = (part[:, 0].unflatten(0, (-1, shape[1])) for part in found)
    return cosines, plan


def _write(uses: Mapping[str, tuple[ClassUse, ...]], folder: Path) -> None:
    for suffix, text in (("json", usage_json(uses)), ("csv", usage_csv(uses)), ("md", usage_markdown(uses))):
        write_text_atomically(folder / f"descriptor_usage.{suffix}", text)
    rank_zero_info(f"Descriptor usage written to {folder / 'descriptor_usage.md'}")
