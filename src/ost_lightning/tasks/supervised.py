"""Fully supervised training: cross-entropy over all classes, with their sentences as the classifier."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.evaluation import similarities
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings
from ost_lightning.tasks.base import RecognitionTask
from ost_lightning.tasks.regularizers import TrainingStep
from ost_lightning.video import ClipBatch


@dataclass(frozen=True)
class Mixing:
    """Settings for mixing pairs of videos in a batch, and their labels in the same proportion.

    If both methods are on, each step uses one of them at random.

    Attributes:
        mixup: Alpha of mixup, which averages pixels (Zhang et al., ICLR 2018); 0 for off, 0.8 in ViFi-CLIP.
        cutmix: Alpha of CutMix, which replaces a rectangle (Yun et al., ICCV 2019); 0 for off, 1 in ViFi-CLIP.
    """

    mixup: float = 0.0
    cutmix: float = 0.0


class SupervisedRecognition(RecognitionTask):
    r"""Fine-tunes with cross-entropy over all training classes.

    .. math:: L = -\sum_k q_k \log \mathrm{softmax}_k(\tau \, S(V, D_k))

    With `CategoryName` and mean pooling this is the training of ViFi-CLIP. With `CategoryName`, a frozen text tower and
    a temporal transformer it is that of Text4Vis; replacing the matcher by the OD Solver gives OST on top of Text4Vis
    (Table 3).

    If the text tower is frozen and has no learned prompts, sentences are encoded once; otherwise all of them are
    encoded at every step, with gradients.

    Args:
        label_smoothing: Fraction of the target that is distributed over all classes, 0 to 1.
        mixing: Settings of mixup and CutMix.
    """

    def __init__(
        self,
        *args: Any,
        label_smoothing: float = 0.0,
        mixing: Mixing = Mixing(),  # frozen
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not 0 <= label_smoothing <= 1:
            raise UserError(f"model.label_smoothing is {label_smoothing}: expected a fraction, 0 to 1.")
        if min(mixing.mixup, mixing.cutmix) < 0:
            raise UserError(f"model.mixing is {mixing}: expected values of at least 0.")
        self.label_smoothing, self.mixing = label_smoothing, mixing
        self._frozen_texts: DescriptorEmbeddings | None = None

    def on_train_start(self) -> None:
        """Tokenizes the training classes once, and encodes them once if training doesn't change them."""
        super().on_train_start()
        self._frozen_texts = None
        if not self.video_clip.has_gradients("text"):
            with torch.no_grad():
                self._frozen_texts = self.video_clip.encode_sentences(self.training_tokens)

    def on_train_end(self) -> None:
        """Frees the embeddings of the sentences."""
        self._frozen_texts = None

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Returns the loss of one micro-batch."""
        texts = self._training_texts()
        clips, targets = self._mix(batch.frames.flatten(0, 1), batch.labels, len(next(iter(texts.values()))))
        frames = self.encode_training_frames(clips)
        step = TrainingStep(
            self.video_clip,
            [clips],
            frames,
            texts,
            encode_texts=lambda model: model.encode_sentences(self.training_tokens),
            loss=lambda: self._cross_entropy(self.encode_training_frames(clips), self._training_texts(), targets),
        )
        loss = self.regularized(self._cross_entropy(frames, texts, targets), len(batch), step)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def _cross_entropy(self, frames: FrameEmbeddings, texts: DescriptorEmbeddings, targets: Tensor) -> Tensor:
        logits = self.video_clip.similarity_to_logits(similarities(self.video_clip, self.matcher, texts, frames))
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def _training_texts(self) -> DescriptorEmbeddings:
        if self._frozen_texts is not None:
            return self._frozen_texts
        return self.video_clip.encode_sentences(self.training_tokens)

    def _mix(self, clips: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Mixes clips, uint8 (B, T, 3, S, S), and labels, int64 (B,), if mixing is on.

        Returns:
            The arguments, or mixed clips, again rounded to uint8, and targets (B, K).
        """
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        transforms: list[v2.Transform] = []
        if self.mixing.mixup:
            transforms.append(v2.MixUp(alpha=self.mixing.mixup, num_classes=classes))
        if self.mixing.cutmix:
            transforms.append(v2.CutMix(alpha=self.mixing.cutmix, num_classes=classes))
        if not transforms:
            return clips, labels
        transform = transforms[int(torch.randint(len(transforms), ()))]
        mixed, targets = transform(tv_tensors.Video(clips.float()), labels)
        return mixed.as_subclass(Tensor).round().to(torch.uint8), targets
