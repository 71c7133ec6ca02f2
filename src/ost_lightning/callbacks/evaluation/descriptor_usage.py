"""Which descriptors work, told after a test."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ost_lightning.analysis.descriptor_usage import (
    ClassUse,
    DescriptorFlows,
    class_uses,
    usage_csv,
    usage_json,
    usage_markdown,
)
from ost_lightning.callbacks.recognition import recognition_data, recognition_task, run_folder
from ost_lightning.files import write_text_atomically
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.tasks import RecognitionTask
from ost_lightning.text import LabelSpace
from ost_lightning.video import ClipBatch
from ost_lightning.vocabulary import DescriptorKind


class DescriptorUsage(Callback):
    """Looks, while a test runs, where each video's transport to the descriptors of its own class goes.

    Writes `descriptor_usage.json`, `.csv` and `.md`: for each class and descriptor the transported mass, the cosines
    and the share of frames that it leads in or is closest to; descriptors that no video uses; classes that gain or lose
    against recognition by the category name, with the same weights and frames. Frames are not encoded again: what the
    matcher is given is looked at. It is about the task's own weights, not about mixtures. Runs with another matcher
    than the OD Solver have no transport to look at: they are left alone, and told so.

    Args:
        folder: Where; the run's folder if not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._solver = OptimalDescriptorSolver()
        self._names = CategoryName()
        self._labels: dict[str, LabelSpace] = {}
        self._flows: dict[str, DescriptorFlows] = {}
        self._name_embeddings: dict[str, Tensor] = {}
        self._given: tuple[Tensor, ...] = ()
        self._scores = torch.empty(0)
        self._hook: RemovableHandle | None = None
        self._listening = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to listen to the matcher."""
        self._flows = {}
        task = recognition_task(self, pl_module)
        if not isinstance(task.matcher, OptimalDescriptorSolver):
            rank_zero_info(f"DescriptorUsage: the matcher {type(task.matcher).__name__} transports nothing to look at")
            return
        # a copy, so that the task's count of unsolved problems stays its own
        self._solver = copy.deepcopy(task.matcher)
        self._labels = dict(recognition_data(self, trainer).evaluation_labels("test"))
        self._name_embeddings = {}
        self._hook = task.matcher.register_forward_hook(self._listen)
        counts = self._counts(task)
        # every process has every metric: they are summed over processes
        self._flows = {
            name: DescriptorFlows(len(labels), counts).to(task.device) for name, labels in self._labels.items()
        }

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """The next scores are those of the task's own weights."""
        self._listening, self._given = True, ()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: ClipBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts the batch, unless none of its videos could be decoded."""
        self._listening = False
        if not self._given:
            return
        task = recognition_task(self, pl_module)
        name = list(self._labels)[dataloader_idx]
        frames, *descriptors = self._given
        labels = batch.labels[batch.decoded.to(batch.labels.device)].to(frames.device)
        kinds = self._solver.kinds
        flows = {
            kind: self._own_class(frames, texts, labels, kind) for kind, texts in zip(kinds, descriptors, strict=True)
        }
        by_name = self._names(frames.float(), self._names_of(name, task).float())
        self._flows[name].update(
            labels,
            flows,
            _over_views(self._scores, len(labels), task),
            _over_views(by_name, len(labels), task),
        )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the tables."""
        counts = self._counts(recognition_task(self, pl_module))
        uses = {name: class_uses(self._labels[name], flows.compute(), counts) for name, flows in self._flows.items()}
        folder = self.folder or run_folder(trainer)
        if uses and folder is not None and trainer.is_global_zero:
            self._write(uses, folder)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops listening."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stops listening."""
        self._stop()

    def _listen(self, matcher: nn.Module, given: tuple[Tensor, ...], scores: Tensor) -> None:
        if self._listening:
            self._given, self._scores, self._listening = given, scores, False

    def _own_class(self, frames: Tensor, texts: Tensor, labels: Tensor, kind: DescriptorKind) -> tuple[Tensor, Tensor]:
        """Cosines and plan of each video against its own class, (B, V, T, N)."""
        by_video = frames.float().unflatten(0, (len(labels), -1))
        shape = (*by_video.shape[:3], texts.shape[1])
        cosines, plan = torch.empty(shape, device=frames.device), torch.empty(shape, device=frames.device)
        for label in labels.unique().tolist():
            mine = labels == label
            found = self._solver.cosines_and_plan(by_video[mine].flatten(0, 1), texts[label, None].float(), kind)
            cosines[mine], plan[mine] = (part[:, 0].unflatten(0, (-1, shape[1])) for part in found)
        return cosines, plan

    def _names_of(self, name: str, task: RecognitionTask) -> Tensor:
        """Embeddings of the category names, encoded on first use: (K, templates, d)."""
        if name not in self._name_embeddings:
            sentences = task.templates.apply(self._labels[name], ("name",), task.descriptors_per_class)
            encoded = task.video_clip.encode_sentences(task.video_clip.tokenize(sentences))
            self._name_embeddings[name] = encoded["name"]
        return self._name_embeddings[name]

    def _counts(self, task: RecognitionTask) -> dict[DescriptorKind, int]:
        kinds = self._solver.kinds
        return dict.fromkeys(kinds, task.descriptors_per_class)

    def _write(self, uses: Mapping[str, tuple[ClassUse, ...]], folder: Path) -> None:
        for suffix, text in (("json", usage_json(uses)), ("csv", usage_csv(uses)), ("md", usage_markdown(uses))):
            write_text_atomically(folder / f"descriptor_usage.{suffix}", text)
        rank_zero_info(f"which descriptors work is in {folder / 'descriptor_usage.md'}")

    def _stop(self) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook, self._given, self._listening = None, (), False


def _over_views(similarities: Tensor, videos: int, task: RecognitionTask) -> Tensor:
    """Probabilities, averaged over views: (B V, K) -> (B, K)."""
    logits = task.video_clip.similarity_to_logits(similarities.float()).float()
    probabilities: Tensor = logits.softmax(-1).unflatten(0, (videos, -1)).mean(1)
    return probabilities
