"""What every recognition task shares: the model, the matcher, exact evaluation, the optimizer."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher, TransportWarning
from ost_lightning.models import (
    DescriptorEmbeddings,
    FrameEmbeddings,
    TokenizedSentences,
    VideoCLIP,
    exchanged_weights,
    frame_fingerprint,
    mixture_fingerprint,
    refuse_other_weights,
    use_current_names,
)
from ost_lightning.tasks.metrics import RecognitionAccuracy
from ost_lightning.tasks.optimizer import OptimizerSettings, optimizer_and_schedule
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.video import UNLABELED, ClipBatch

Stage = Literal["val", "test", "predict"]
AS_TRAINED: Final = ""
"""Name of the task's own weights in results; callbacks evaluate others under names of theirs."""


class LabeledData(Protocol):
    """What a task asks of its data module."""

    @property
    def training_labels(self) -> LabelSpace:
        """Classes of the training videos."""

    def evaluation_labels(self, stage: Stage) -> Mapping[str, LabelSpace]:
        """Classes of each evaluation set, by the set's name, in the order of the loaders."""

    def keep_embeddings(self, batch: ClipBatch, weights: str) -> None:
        """Keeps the embeddings that a batch has by these weights, if there is a cache."""

    def evaluation_sizes(self, stage: Stage) -> Mapping[str, int]:
        """Listed videos of each evaluation set."""


class Prediction(NamedTuple):
    """What was recognized in one video or part of one.

    Attributes:
        id: Of its record.
        set: Evaluation set that it belongs to.
        start: Seconds from the video's beginning, or None for all of it.
        end: Seconds, or None.
        label: Name of its class, empty if it is not known.
        classes: Class names, the likeliest first.
        probabilities: Theirs.
        error: Why it could not be read, if so.
    """

    id: str
    set: str
    start: float | None
    end: float | None
    label: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""


class RecognitionTask(LightningModule, ABC):
    """Recognizes actions by matching frames with sentences.

    Evaluation logs `{stage}/{set}/top1`, `top5`, `videos` and `undecodable` for every evaluation set, with all classes
    of the set's own label space, and tells how many videos were scored of those listed. The sentences are encoded once
    per evaluation.

    Attributes:
        evaluated_weights: Weights that a test scores: name -> share of the original weights in them. The task's own,
            and what callbacks add in `setup`.
        mixtures: The parameters of those that callbacks have added, by name.

    Args:
        video_clip: Encoder of frames and sentences.
        matcher: Mechanism that scores videos against classes; a row of Table 4a.
        templates: Sentence templates: a name out of `prompts/sentences`, or a YAML file.
        descriptors_per_class: N, of each kind.
        optimizer: Optimizer and schedule.
    """

    shown_classes: ClassVar[int] = 5

    def __init__(
        self,
        video_clip: VideoCLIP,
        matcher: Matcher,
        templates: str = "ost",
        descriptors_per_class: int = 4,
        optimizer: OptimizerSettings = OptimizerSettings(),  # frozen
    ) -> None:
        super().__init__()
        self.video_clip, self.matcher, self.optimizer = video_clip, matcher, optimizer
        self.templates = Templates.load(templates)
        self.descriptors_per_class = descriptors_per_class
        self.evaluated_weights: dict[str, float] = {AS_TRAINED: 0.0}
        self.mixtures: dict[str, Mapping[str, Tensor]] = {}
        self._accuracy: dict[tuple[str, str], RecognitionAccuracy] = {}
        self._descriptors: dict[tuple[str, str], DescriptorEmbeddings] = {}
        self._labels: dict[str, LabelSpace] = {}
        self._unconverged_in_training = 0

    @abstractmethod
    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Loss of one micro-batch."""

    def setup(self, stage: str) -> None:
        """Keeps buffers out of what DDP sends around.

        They are constants, or counts of one process; and DDP would send them before every batch of a validation, of
        which processes have different numbers, and wait for ever.
        """
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.named_buffers()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Checks the weights before they are loaded, by the names that they have now.

        Raises:
            CheckpointError: If they are those of another model.
        """
        use_current_names(checkpoint)
        if self.strict_loading:
            refuse_other_weights(self.state_dict(), checkpoint["state_dict"], "the checkpoint")

    def tokenize(self, labels: LabelSpace) -> TokenizedSentences:
        """Tokens of all sentences that the matcher needs."""
        kinds = self.matcher.kinds
        return self.video_clip.tokenize(self.templates.apply(labels, kinds, self.descriptors_per_class))

    def similarities(
        self, frames: FrameEmbeddings, texts: DescriptorEmbeddings, matcher: Matcher | None = None
    ) -> Tensor:
        """(B, T, d) against (K, N, d) of each kind: fp32 (B, K), by the task's matcher or another one."""
        # cosines of bf16 differ by a fifth of a logit from one number to the next
        with torch.autocast(frames.device.type, enabled=False):
            return self._match(matcher or self.matcher, frames, texts)

    def _match(self, matcher: Matcher, frames: FrameEmbeddings, texts: DescriptorEmbeddings) -> Tensor:
        similarities: Tensor = self.video_clip.adapt_matcher(matcher)(frames, *(texts[kind] for kind in matcher.kinds))
        return similarities

    def probabilities(self, clips: Tensor, texts: DescriptorEmbeddings) -> Tensor:
        """Class probabilities of videos, averaged over views.

        Args:
            clips: uint8 (B, V, T, 3, S, S).
            texts: kind -> (K, N, d).

        Returns:
            fp32 (B, K).
        """
        return self.probabilities_of(self._encode(clips), texts)

    def probabilities_of(
        self, embedded: FrameEmbeddings, texts: DescriptorEmbeddings, matcher: Matcher | None = None
    ) -> Tensor:
        """Class probabilities of videos that have been embedded, averaged over views.

        Args:
            embedded: (B, V, T, d).
            texts: kind -> (K, N, d).
            matcher: Mechanism; the task's own if not given.

        Returns:
            fp32 (B, K).
        """
        logits = self.video_clip.similarity_to_logits(self.similarities(embedded.flatten(0, 1), texts, matcher))
        views: Tensor = logits.float().softmax(dim=-1).unflatten(0, tuple(embedded.shape[:2]))
        return views.mean(1)

    def embed(self, batch: ClipBatch, weights: str = AS_TRAINED) -> FrameEmbeddings:
        """Embeds the readable videos of a batch, once: what the batch has already is not encoded again.

        Args:
            batch: The clips, on the device.
            weights: Name of the weights that the encoder has at this moment.

        Returns:
            fp32 (B', V, T, d).
        """
        if weights not in batch.embeddings:
            readable = batch.frames if bool(batch.decoded.all()) else batch.frames[batch.decoded.to(self.device)]
            batch.embeddings[weights] = self._encode(readable)
            self._data.keep_embeddings(batch, weights)
        return batch.embeddings[weights]

    @contextmanager
    def using(self, weights: str) -> Iterator[None]:
        """Lets the encoder have one of `evaluated_weights` for a while, in the run's precision."""
        with self.trainer.precision_plugin.forward_context():
            if weights == AS_TRAINED:
                yield
            else:
                with exchanged_weights(self.video_clip, self.mixtures[weights]):
                    yield

    def frame_fingerprints(self) -> dict[str, str]:
        """What identifies the frame embeddings that each of `evaluated_weights` gives in this run."""
        arithmetic = f"{self.trainer.precision} {self.device.type} {torch.get_float32_matmul_precision()}"
        own = frame_fingerprint(self.video_clip, arithmetic)
        if not any(self.evaluated_weights.values()):
            return dict.fromkeys(self.evaluated_weights, own)
        types = {name: parameter.dtype for name, parameter in self.video_clip.named_parameters()}
        before = {name: weight.to(types[name]) for name, weight in self.video_clip.original_parameters().items()}
        with exchanged_weights(self.video_clip, before):
            original = frame_fingerprint(self.video_clip, arithmetic)
        return {name: mixture_fingerprint(original, own, ratio) for name, ratio in self.evaluated_weights.items()}

    def evaluate(self, batch: ClipBatch, dataloader_idx: int, weights: str = AS_TRAINED) -> None:
        """Counts one batch of an evaluation set.

        Args:
            batch: The clips, on the device.
            dataloader_idx: Which set.
            weights: Name of the weights that count, one of `evaluated_weights`; each has metrics and text embeddings of
                its own.
        """
        name = list(self._labels)[dataloader_idx]
        undecodable = int((~batch.decoded).sum())
        labels = batch.labels[batch.decoded.to(self.device)] if undecodable else batch.labels
        if len(labels):
            with self.using(weights):
                scores = self.probabilities_of(self.embed(batch, weights), self._texts(name, weights))
        else:
            scores = torch.zeros((0, len(self._labels[name])), device=self.device)
        self._accuracy[name, weights].update(scores, labels, undecodable)

    def on_validation_epoch_start(self) -> None:
        """Forgets earlier counts and text embeddings."""
        self._begin("val")

    def on_test_epoch_start(self) -> None:
        """Forgets earlier counts and text embeddings."""
        self._begin("test")

    def on_predict_epoch_start(self) -> None:
        """Forgets earlier text embeddings."""
        self._begin("predict")

    def validation_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Counts a batch."""
        self.evaluate(batch, dataloader_idx)

    def test_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Counts a batch."""
        self.evaluate(batch, dataloader_idx)

    def predict_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> list[Prediction]:
        """The likeliest classes of each video."""
        name = list(self._labels)[dataloader_idx]
        names = self._labels[name].names
        failures, guesses = iter(batch.failures), self._likeliest(batch, name)
        predictions = []
        # by their order, for nothing says that ids differ
        for id_, (start, end), label, decoded in zip(
            batch.ids, batch.spans, batch.labels.tolist(), batch.decoded.tolist(), strict=True
        ):
            video = Prediction(id_, name, start, end, "" if label == UNLABELED else names[label])
            if decoded:
                probabilities, places = next(guesses)
                classes = tuple(names[place] for place in places)
                predictions.append(video._replace(classes=classes, probabilities=tuple(probabilities)))
            else:
                predictions.append(video._replace(error=next(failures).reason))
        return predictions

    def on_validation_epoch_end(self) -> None:
        """Logs accuracies."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Logs accuracies."""
        self._finish("test")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, with the schedule followed step by step.

        Raises:
            UserError: If the training has no last step, which the schedule leads to.
        """
        total = self.trainer.estimated_stepping_batches
        if math.isinf(total):
            raise UserError(
                f"The learning rate's schedule needs an end, but trainer.max_epochs is {self.trainer.max_epochs} and "
                f"trainer.max_steps {self.trainer.max_steps}: set one of them to a positive number. "
                "trainer.max_time may end the training before."
            )
        return optimizer_and_schedule(self.parameters(), self.optimizer, int(total), self.video_clip.encoder)

    def _begin(self, stage: Stage) -> None:
        self._unconverged_in_training += self._unconverged() or 0  # a validation within an epoch counts for itself
        self._labels = dict(self._data.evaluation_labels(stage))
        names = list(self.evaluated_weights) if stage == "test" else [AS_TRAINED]
        # every process has every metric, also of sets that it gets no video of: they are summed over processes
        self._accuracy = {
            (name, weights): RecognitionAccuracy().to(self.device) for name in self._labels for weights in names
        }
        self._descriptors.clear()

    def _finish(self, stage: Stage) -> None:
        for (name, weights), metric in self._accuracy.items():
            prefix = "/".join(part for part in (stage, name, weights) if part)
            results = metric.compute()  # summed over processes
            for key, value in results.items():
                self.log(f"{prefix}/{key}", value.float(), prog_bar=key == "top1", sync_dist=False)
            self._tell_count(stage, prefix, int(results["videos"]), self._data.evaluation_sizes(stage)[name])
        self._descriptors.clear()
        self._tell_unconverged({"val": "validation", "test": "test"}[stage], self._unconverged() or 0)

    def _tell_count(self, stage: Stage, what: str, scored: int, listed: int) -> None:
        """Says how many videos were scored of how many; they are all, unless the user limited the batches."""
        limit = self.trainer.limit_val_batches if stage == "val" else self.trainer.limit_test_batches
        limited = isinstance(limit, int) or limit < 1 or self.trainer.sanity_checking
        if scored != listed and not limited:
            raise RuntimeError(f"{what}: {scored} videos were scored, but {listed} are listed")
        rank_zero_info(f"{what}: {scored} videos scored {'=' if scored == listed else 'of'} {listed} listed")

    def on_train_epoch_end(self) -> None:
        """Logs `train/unconverged`, the epoch's transport problems that were not solved to the tolerance."""
        count = self._unconverged()
        if count is None:
            return
        count += self._unconverged_in_training
        self._unconverged_in_training = 0
        self._tell_unconverged("training", count)
        self.log("train/unconverged", float(count), sync_dist=True, reduce_fx="sum")

    def _unconverged(self) -> int | None:
        """Transport problems since the last time that were not solved; None if the matcher solves nothing."""
        count = self.matcher.unconverged()
        return None if count is None else int(count)

    def _tell_unconverged(self, what: str, count: int) -> None:
        if not count:
            return
        rank_zero_info(f"{what}: {count} transport problems on this process have not converged")
        # the same words each time, so that Python's filter lets them through once
        warnings.warn(
            f"Transport problems of the {what} have not converged: raise the matcher's max_iterations, epsilon or "
            "tolerance.",
            TransportWarning,
            stacklevel=2,
        )

    def _texts(self, name: str, weights: str) -> DescriptorEmbeddings:
        """Embeddings of all classes of a set, encoded on first use."""
        if (name, weights) not in self._descriptors:
            self._descriptors[name, weights] = self.video_clip.encode_sentences(self.tokenize(self._labels[name]))
        return self._descriptors[name, weights]

    def _likeliest(self, batch: ClipBatch, name: str) -> Iterator[tuple[list[float], list[int]]]:
        """Probabilities and places of the likeliest classes of each readable video."""
        if not bool(batch.decoded.any()):
            return iter(())
        scores = self.probabilities_of(self.embed(batch), self._texts(name, AS_TRAINED))
        best = scores.topk(min(self.shown_classes, scores.shape[1]), dim=1)
        return zip(best.values.tolist(), best.indices.tolist(), strict=True)

    def _encode(self, clips: Tensor) -> FrameEmbeddings:
        """uint8 (B, V, T, 3, S, S) -> (B, V, T, d)."""
        embedded: Tensor = self.video_clip.encode_frames(clips.flatten(0, 1)).unflatten(0, tuple(clips.shape[:2]))
        return embedded

    @property
    def _data(self) -> LabeledData:
        return cast("LabeledData", self.trainer.datamodule)  # type: ignore[attr-defined]
