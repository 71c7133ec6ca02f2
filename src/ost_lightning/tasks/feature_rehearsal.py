"""Training of ER-ZSAR's head on features of videos that other networks computed."""

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoModel, AutoTokenizer

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.pretrained.hub import local_files_only
from ost_lightning.models.feature_heads import ElaborativeRehearsal, FeatureBatch, rehearsal_loss
from ost_lightning.tasks.schedules import total_steps

_MOST_TOKENS: Final = 100
_LOWEST_RATE: Final = 1 / 128
"""Fraction of the peak learning rate at which the warm-up begins."""


class FeatureRehearsal(LightningModule):
    """ER-ZSAR's head with its recipe: Adam, exponential warm-up, then a cosine to zero.

    Args:
        video_width: Number of dimensions of the video features.
        definitions: Text of each training class, `name: definition`.
        text_model: Hub id or folder of a BERT.
        width: Number of dimensions of the joint space.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of the head; the text model has none.
        warmup_fraction: Fraction of training that is warm-up, 0 to 1.
        data_digest: Digest of the training features, as a record.
    """

    def __init__(
        self,
        video_width: int,
        definitions: Sequence[str],
        text_model: str = "bert-base-uncased",
        width: int = 512,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-4,
        warmup_fraction: float = 0.1,
        data_digest: str = "",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            {
                "video_width": video_width,
                "definitions": list(definitions),
                "text_model": text_model,
                "width": width,
                "learning_rate": learning_rate,
                "weight_decay": weight_decay,
                "warmup_fraction": warmup_fraction,
                "data_digest": data_digest,
            }
        )
        self.definitions = tuple(definitions)
        self.learning_rate, self.weight_decay, self.warmup_fraction = learning_rate, weight_decay, warmup_fraction
        offline = local_files_only(text_model)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(text_model, local_files_only=offline)
            model: Any = AutoModel.from_pretrained(text_model, local_files_only=offline, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"The text model {text_model} can't be loaded ({error}): expected a hub id or folder of a BERT."
            ) from error
        self.head = ElaborativeRehearsal(video_width, model, width)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeds texts as unit vectors (n, d); at most 100 tokens of each are read."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=_MOST_TOKENS, return_tensors="pt"
        ).to(self.device)
        return self.head.embed_texts(tokens["input_ids"], tokens["attention_mask"])

    def training_step(self, batch: FeatureBatch, batch_idx: int) -> Tensor:
        """Returns the loss of one batch, with texts of all classes."""
        actions, objects = self.head.gate(self.head.embed_videos(batch.features), self.encode(batch.objects))
        classes, concepts = self.encode(self.definitions), self.encode(batch.concepts)
        loss = rehearsal_loss(actions, objects, classes, batch.labels, concepts, batch.own)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.labels))
        return loss

    def scores(self, batch: FeatureBatch, classes: Tensor) -> Tensor:
        """Returns the scores of classes, (B, K), from their embedded definitions (K, d)."""
        actions, objects = self.head.gate(self.head.embed_videos(batch.features), self.encode(batch.objects))
        return self.head.scores(actions, objects, classes)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Returns Adam and its schedule, which is updated at every step.

        Raises:
            UserError: If training has no limit on its number of steps.
        """
        trained = [(name, weight) for name, weight in self.named_parameters() if weight.requires_grad]
        texts = [weight for name, weight in trained if name.startswith("head.text_model.")]
        new = [weight for name, weight in trained if not name.startswith("head.text_model.")]
        groups = [{"params": new, "weight_decay": self.weight_decay}, {"params": texts, "weight_decay": 0.0}]
        optimizer = torch.optim.Adam(groups, lr=self.learning_rate)
        steps = total_steps(self.trainer)
        schedule = LambdaLR(optimizer, lambda step: rehearsal_rate(step, steps, self.warmup_fraction))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rehearsal_rate(step: int, total: int, warmup_fraction: float) -> float:
    """Returns the fraction of the peak learning rate at one step: exponential from 1/128, then a cosine to zero.

    Args:
        step: Number of completed optimizer steps.
        total: Number of optimizer steps of the training run.
        warmup_fraction: Fraction of training that is warm-up, 0 to 1.
    """
    rising = warmup_fraction * total
    if step < rising:
        return math.exp(math.log(_LOWEST_RATE) * (1 - step / rising))
    # the cosine is that of the whole training, scaled to the peak at the end of warm-up
    cosine = 1 + math.cos(math.pi * min(step / total, 1))
    return cosine / (1 + math.cos(math.pi * warmup_fraction))
