"""OST's training: each video brings its own class's text, and the batch is the contrast."""

from typing import cast

import torch
from torch import Tensor

from ost_lightning.matching import Matcher, symmetric_kl
from ost_lightning.models import TokenisedSentences, VideoCLIP
from ost_lightning.tasks.base import Optimisation, RecognitionTask
from ost_lightning.video import ClipBatch


class ContrastiveRecognition(RecognitionTask):
    """Fine-tunes CLIP with the symmetric KL loss over the (gathered) micro-batch (Sec. 3.4 of the paper).

    Args:
        video_clip: Encoder of frames and sentences.
        matcher: Mechanism that scores videos against classes; a row of Table 4a.
        templates: Sentence templates: a name out of `prompts/sentences`, or a YAML file.
        descriptors_per_class: N, of each kind.
        optimisation: Optimiser and schedule.
        loss_factor: 1/2 is Eq. 15; the released code sums the two directions (1).
    """

    def __init__(
        self,
        video_clip: VideoCLIP,
        matcher: Matcher,
        templates: str = "ost",
        descriptors_per_class: int = 4,
        optimisation: Optimisation = Optimisation(),  # frozen
        loss_factor: float = 0.5,
    ) -> None:
        super().__init__(video_clip, matcher, templates, descriptors_per_class, optimisation)
        self.loss_factor = loss_factor
        self._training_tokens: TokenisedSentences | None = None

    def on_fit_start(self) -> None:
        """Tokenises the training classes once."""
        self._training_tokens = self.tokenise(self._data.training_labels)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Loss of one micro-batch over all processes.

        Raises:
            UserError: If the loss is not finite.
        """
        if self._training_tokens is None:
            raise RuntimeError("the training classes have not been tokenised: training goes through Trainer.fit")
        frames = self.video_clip.encode_frames(batch.frames.flatten(0, 1))
        classes, place = batch.labels.unique(return_inverse=True)
        texts = self.video_clip.encode_sentences(self._training_tokens.select(classes.cpu()))
        labels = batch.labels
        if self.trainer.world_size > 1:
            # every process sees every video and every class text of this step; the gradients come back to where they
            # belong
            texts = {kind: self._gathered(rows[place]) for kind, rows in texts.items()}
            frames, labels = self._gathered(frames), self._gathered(labels)
            place = torch.arange(len(labels), device=self.device)
        logits = self.video_clip.logit_scale * self.similarities(frames, texts)[:, place]
        loss = symmetric_kl(logits, labels, factor=self.loss_factor)
        self.refuse_non_finite(loss, batch, batch_idx)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def _gathered(self, tensor: Tensor) -> Tensor:
        """(B, ...) of every process as (W x B, ...), with true gradients."""
        gathered = cast("Tensor", self.all_gather(tensor, sync_grads=tensor.requires_grad))
        return gathered.flatten(0, 1)
