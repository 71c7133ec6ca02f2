"""OST's training: each video is contrasted with the classes of all videos in the batch."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ost_lightning.errors import UserError
from ost_lightning.evaluation import similarities
from ost_lightning.matching import symmetric_kl
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, TokenizedSentences, VideoCLIP
from ost_lightning.tasks.base import RecognitionTask
from ost_lightning.tasks.gathering import gather, process_count, process_rank
from ost_lightning.tasks.regularizers import TrainingStep
from ost_lightning.video import ClipBatch

Contrast = Literal["micro_batch", "global_batch"]
_Embeddings = TypeVar("_Embeddings")


class ContrastiveRecognition(RecognitionTask):
    """Fine-tunes CLIP with the symmetric KL loss over a batch (Sec. 3.4 of the paper).

    Every class of the batch is encoded once, by one process, and its text embeddings are sent to the others with exact
    gradients.

    Args:
        loss_factor: Factor of the sum of the two directions, 1/2 in Eq. 15 and 1 in the released code.
        contrast: Videos that a video is contrasted with. `micro_batch`, as in the released code, takes the videos that
            all devices have in memory at a time; accumulated gradients are the mean over micro-batches. `global_batch`
            takes all videos of an optimizer step, with the memory of one micro-batch and one more forward pass
            (gradient cache; Gao et al., 2021). Without accumulation the two are the same.
    """

    def __init__(self, *args: Any, loss_factor: float = 0.5, contrast: Contrast = "micro_batch", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_factor, self.contrast = loss_factor, contrast

    @property
    def takes_whole_steps(self) -> bool:
        """Whether a training step needs all micro-batches of an optimizer step at once."""
        return self.contrast == "global_batch"

    def training_step(self, batch: ClipBatch | Sequence[ClipBatch], batch_idx: int) -> Tensor:
        """Returns the loss over all processes, the same in each except for regularizers.

        Raises:
            UserError: If the step needs all micro-batches but gets only one.
        """
        if self.takes_whole_steps and isinstance(batch, ClipBatch):
            raise UserError(
                "model.contrast is global_batch, which needs all micro-batches of an optimizer step at once, but the "
                "data module yields them one by one: call its `configure_for(preprocessing, whole_steps=True)` before "
                "training, as `ost fit` does, or set model.contrast to micro_batch."
            )
        parts = [batch] if isinstance(batch, ClipBatch) else list(batch)
        labels = [part.labels if part.host_labels is None else part.host_labels for part in parts]
        loss = self.loss([part.frames for part in parts], labels, self.training_tokens)
        self.log("train/loss", loss, prog_bar=True, batch_size=sum(map(len, parts)))
        return loss

    def loss(self, clips: Sequence[Tensor], labels: Sequence[Tensor], sentences: TokenizedSentences) -> Tensor:
        """Computes the contrastive loss of these videos and those of all other processes, and adds regularizers.

        Several micro-batches are each encoded without keeping activations, and encoded again when their gradients are
        computed. At any time, only the activations of one micro-batch are in memory.

        Args:
            clips: Frames of each micro-batch, uint8 (B, V, T, 3, S, S); every process has the same number of videos.
            labels: Labels of each micro-batch, int64 (B,). In host memory, so that the host need not wait for the
                device to group them by class.
            sentences: Tokens of all classes.

        Returns:
            Scalar loss, the same in every process except for regularizers.
        """
        sizes = [len(part) for part in clips]
        videos = [part.flatten(0, 1) for part in clips]
        encode = _encode_with_recomputation if len(clips) > 1 else _encode
        device, known = clips[0].device, torch.cat(list(labels))
        if process_count() > 1:
            known = gather(known.to(device))  # processes communicate on their devices
        classes, index = known.cpu().unique(return_inverse=True)
        batch_sentences = sentences.select(classes)
        all_labels, class_index = (part.to(device, non_blocking=True) for part in (known, index))

        def embedded() -> tuple[FrameEmbeddings, DescriptorEmbeddings]:
            # frames first: they keep a GPU busy while the host launches the many small kernels of the text tower
            frames = torch.cat([encode(self.encode_training_frames, part) for part in videos])
            return frames, _class_texts(self.video_clip, batch_sentences, max(sizes), encode)

        def contrasted(frames: FrameEmbeddings, texts: DescriptorEmbeddings) -> Tensor:
            # each process scores its own videos and gathers rows of logits instead of frame embeddings
            scores = similarities(self.video_clip, self.matcher, texts, frames)[:, class_index]
            logits = gather(self.video_clip.similarity_to_logits(scores))
            return symmetric_kl(logits, all_labels, factor=self.loss_factor)

        frames, texts = embedded()
        step = TrainingStep(
            self.video_clip,
            videos,
            frames,
            texts,
            encode_texts=lambda model: _class_texts(model, batch_sentences, max(sizes), _encode),
            loss=lambda: contrasted(*embedded()),
        )
        return self.regularized(contrasted(frames, texts), sum(sizes), step)


def _class_texts(
    video_clip: VideoCLIP, sentences: TokenizedSentences, batch_size: int, encode: Callable[..., Any]
) -> DescriptorEmbeddings:
    """Embeds each class in one process, in batches of as many classes as a micro-batch has videos."""
    count, processes = len(next(iter(sentences.lengths.values()))), process_count()
    share = -(-count // processes)
    local = torch.arange(process_rank() * share, (process_rank() + 1) * share).clamp(max=count - 1)
    batches = [local] if encode is _encode else list(local.split(batch_size))
    embedded = [encode(video_clip.encode_sentences, sentences.select(batch)) for batch in batches]
    return {kind: gather(torch.cat([part[kind] for part in embedded]))[:count] for kind in sentences.tokens}


def _encode(encoder: Callable[..., _Embeddings], inputs: Any) -> _Embeddings:
    return encoder(inputs)


def _encode_with_recomputation(encoder: Callable[..., _Embeddings], inputs: Any) -> _Embeddings:
    """Keeps no activations; the backward pass recomputes them with the same random numbers."""
    embeddings: _Embeddings = checkpoint(encoder, inputs, use_reentrant=False)
    return embeddings
