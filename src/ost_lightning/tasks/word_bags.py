"""Training without labels: each video is contrasted with the bags of words of the videos in its batch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.evaluation import similarities
from ost_lightning.matching import Positives, bag_contrast
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings
from ost_lightning.tasks.base import RecognitionTask
from ost_lightning.tasks.gathering import gather
from ost_lightning.tasks.regularizers import TrainingStep
from ost_lightning.text import SentenceSet, WordBags
from ost_lightning.video import ClipBatch
from ost_lightning.vocabulary import counted


class WordBagRecognition(RecognitionTask):
    """Fine-tunes with bags of words in place of labels (MAXI; Lin et al., ICCV 2023).

    The labels of the training list are not used: the class of a video is the name in its bag. A sentence is that of a
    Temporal Descriptor, `temporal` in the templates, with the class name and a word of the bag. A video whose bag is
    empty has the sentence of its class name. Words are drawn anew in every step.

    Args:
        bags: File of bags, written by `ost bags match`; only training needs it.
        bag_size: Number of sentences per video in a step, n.
        positives: How bags of other videos of the same class enter the loss. `pairs`, as released, takes each pair for
            itself; `pooled` adds up their probabilities (Eq. 2 of the paper).
        contrast: Videos that a video is contrasted with: those that its own `device` has in memory, as released, or
            those of the `micro_batch`, which all devices have in memory.
    """

    def __init__(
        self,
        *args: Any,
        bags: Path | None = None,
        bag_size: int = 16,
        positives: Positives = "pairs",
        contrast: Literal["device", "micro_batch"] = "device",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if bag_size < 1:
            raise UserError(f"model.bag_size is {bag_size}: expected at least 1 sentence per video.")
        if self.matcher.kinds != ("name",):
            raise UserError(
                f"The matcher {type(self.matcher).__name__} needs descriptors, but bags have single sentences: set "
                "model.matcher to CategoryName."
            )
        self.bags, self.bag_size, self.positives, self.contrast = bags, bag_size, positives, contrast
        self._bags: WordBags | None = None
        self._names: Mapping[str, str] = {}

    @property
    def training_texts(self) -> Mapping[str, str]:
        """Digest of the bags, once they are read."""
        return {} if self._bags is None else {"words": self._bags.digest}

    def setup(self, stage: str) -> None:
        """Reads the bags before a training.

        Raises:
            UserError: If they are missing or damaged.
        """
        super().setup(stage)
        if stage != "fit":
            return
        if self.bags is None:
            raise UserError("Training needs bags of words: set model.bags to a file that `ost bags match` wrote.")
        self._bags = WordBags.load(self.bags)

    def on_train_start(self) -> None:
        """Checks that the bags are those of the training videos.

        Raises:
            UserError: If videos have no bag, bags have no video, or classes are unknown.
        """
        super().on_train_start()
        loader: Any = self.trainer.train_dataloader
        labels, bags = loader.labels, self._read_bags()
        bags.check([record.id for record in loader.dataset.records], labels.names)
        self._names = dict(zip(labels.names, self.templates.spelling(labels).names, strict=True))
        if empty := bags.empty():
            rank_zero_info(f"{counted(len(empty), 'bag')} without words: their class names alone are the sentences.")

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Returns the loss of one micro-batch."""
        names = list(self._names)
        bags = self._read_bags()
        labels = torch.tensor([names.index(bags.videos[id_].name) for id_ in batch.ids], device=batch.frames.device)
        sentences = SentenceSet({"name": tuple(self._sentences(id_) for id_ in batch.ids)})
        tokens, clips = self.video_clip.tokenize(sentences), batch.frames.flatten(0, 1)

        def embedded() -> tuple[FrameEmbeddings, Tensor]:
            texts = self.video_clip.encode_sentences(tokens)["name"]
            return self.encode_training_frames(clips), texts

        frames, texts = embedded()
        step = TrainingStep(
            self.video_clip,
            [clips],
            frames,
            {"name": texts},
            encode_texts=lambda model: model.encode_sentences(tokens),
            loss=lambda: self.loss(*embedded(), labels),
        )
        loss = self.regularized(self.loss(frames, texts, labels), len(batch), step)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def loss(self, frames: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss of videos and the sentences of their bags.

        Args:
            frames: Frame embeddings, (B, T, d), L2-normalized.
            texts: Sentence embeddings of the bags, (B, n, d), L2-normalized.
            labels: Label of each video, int64 (B,).
        """
        if self.contrast == "micro_batch":
            frames, texts, labels = gather(frames), gather(texts), gather(labels)
        single: DescriptorEmbeddings = {"name": texts.flatten(0, 1)[:, None]}  # each sentence is compared for itself
        scores = similarities(self.video_clip, self.matcher, single, frames)
        return bag_contrast(self.video_clip.similarity_to_logits(scores), labels, positives=self.positives)

    def _sentences(self, id_: str) -> tuple[str, ...]:
        """Sentences of one bag, drawn anew."""
        bags = self._read_bags()
        name = self._names[bags.videos[id_].name]
        words = bags.draw(id_, self.bag_size)
        if words is None:
            return (self.templates.name[0].format(name=name),) * self.bag_size
        return tuple(self.templates.sentence("temporal", name, word) for word in words)

    def _read_bags(self) -> WordBags:
        if self._bags is None:
            raise RuntimeError("the bags of words have not been read: start training with Trainer.fit")
        return self._bags
