"""OST's training: each video brings its own class's text, and the batch is the contrast."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ost_lightning.errors import UserError
from ost_lightning.evaluation import similarities
from ost_lightning.matching import symmetric_kl
from ost_lightning.models import DescriptorEmbeddings, TokenizedSentences
from ost_lightning.tasks.base import RecognitionTask
from ost_lightning.tasks.gathering import gather, process_count, process_rank
from ost_lightning.video import ClipBatch

Contrast = Literal["micro_batch", "global_batch"]
_Embeddings = TypeVar("_Embeddings")


class ContrastiveRecognition(RecognitionTask):
    """Fine-tunes CLIP with the symmetric KL loss over a batch (Sec. 3.4 of the paper).

    Every class of the batch is encoded once, by one process; its text goes to the others with true gradients.

    Args:
        loss_factor: Factor of the sum of the two directions; 1/2 is Eq. 15, 1 the released code.
        contrast: Videos that a video is contrasted with. `micro_batch`, as released: the videos that all devices have
            in memory at a time; accumulated gradients are the mean over micro-batches. `global_batch`: all videos of an
            optimizer step, in the memory of one micro-batch, for one more forward pass (gradient cache; Gao et al.,
            2021). Without accumulation the two are the same.
    """

    def __init__(self, *args: Any, loss_factor: float = 0.5, contrast: Contrast = "micro_batch", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_factor, self.contrast = loss_factor, contrast

    @property
    def takes_whole_steps(self) -> bool:
        """Whether a training step needs all micro-batches of an optimizer step at once."""
        return self.contrast == "global_batch"

    def training_step(self, batch: ClipBatch | Sequence[ClipBatch], batch_idx: int) -> Tensor:
        """Loss over all processes, the same in each.

        Raises:
            UserError: If the step needs all micro-batches and gets one.
        """
        if self.takes_whole_steps and isinstance(batch, ClipBatch):
            raise UserError(
                "model.contrast is global_batch, which needs all micro-batches of an optimizer step at once, but the "
                "data module yields them one by one: call its `configure_for(preprocessing, whole_steps=True)` before "
                "the training, as `ost fit` does, or set model.contrast to micro_batch."
            )
        parts = [batch] if isinstance(batch, ClipBatch) else list(batch)
        loss = self.loss([part.frames for part in parts], [part.labels for part in parts], self.training_tokens)
        self.log("train/loss", loss, prog_bar=True, batch_size=sum(map(len, parts)))
        return loss

    def loss(self, clips: Sequence[Tensor], labels: Sequence[Tensor], sentences: TokenizedSentences) -> Tensor:
        """Contrast of all given videos of all processes.

        With several micro-batches each is encoded without keeping activations, and once more when its gradient is due,
        so that the activations of one are in memory at a time.

        Args:
            clips: uint8 (B, V, T, 3, S, S) of each micro-batch; every process has the same number of videos.
            labels: int64 (B,) of each micro-batch.
            sentences: Tokens of all classes.

        Returns:
            Scalar, the same in every process.
        """
        sizes = [len(part) for part in clips]
        encode = _recomputed if len(clips) > 1 else _at_once
        everyone = gather(torch.cat(list(labels)))
        classes, place = everyone.unique(return_inverse=True)
        chosen = sentences.select(classes.cpu())
        # frames first: they keep a GPU busy while the host starts the many small kernels of the text
        frames = torch.cat([encode(self.video_clip.encode_frames, part.flatten(0, 1)) for part in clips])
        texts = self._class_texts(chosen, max(sizes), encode)
        # a process scores its own videos; what is gathered are its rows of logits, not its frames
        logits = gather(
            self.video_clip.similarity_to_logits(similarities(self.video_clip, self.matcher, texts, frames)[:, place])
        )
        return symmetric_kl(logits, everyone, factor=self.loss_factor)

    def _class_texts(
        self, sentences: TokenizedSentences, at_a_time: int, encode: Callable[..., Any]
    ) -> DescriptorEmbeddings:
        """Embeds classes, each in one process, as many at a time as a micro-batch has videos."""
        count, processes = len(next(iter(sentences.lengths.values()))), process_count()
        share = -(-count // processes)
        mine = torch.arange(process_rank() * share, (process_rank() + 1) * share).clamp(max=count - 1)
        parts = [mine] if encode is _at_once else list(mine.split(at_a_time))
        embedded = [encode(self.video_clip.encode_sentences, sentences.select(part)) for part in parts]
        return {kind: gather(torch.cat([part[kind] for part in embedded]))[:count] for kind in sentences.tokens}


def _at_once(encoder: Callable[..., _Embeddings], inputs: Any) -> _Embeddings:
    return encoder(inputs)


def _recomputed(encoder: Callable[..., _Embeddings], inputs: Any) -> _Embeddings:
    """Keeps no activations; the backward pass makes them again, with the same random numbers."""
    embeddings: _Embeddings = checkpoint(encoder, inputs, use_reentrant=False)
    return embeddings
