"""Settings of the logit scale, which turns similarities into logits, and the kinds of probabilities of these."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ost_lightning.errors import UserError
from ost_lightning.models.encoders import DualEncoder

Scores = Literal["softmax", "sigmoid"]
"""Probabilities that a video shows a class: of all classes together, or of each class by itself."""


@dataclass(frozen=True)
class LogitScale:
    """Settings of the logit scale.

    Attributes:
        initial: Scale at the start of training, such as 14.29 for a temperature of 0.07; None for the checkpoint's own,
            which is 100 in CLIP.
        trained: Whether the scale is trained.
        maximum: Largest scale, which training steps do not exceed; None for no limit. CLIP's own training has 100.

    Raises:
        UserError: If a scale is not a positive number.
    """

    initial: float | None = None
    trained: bool = True
    maximum: float | None = None

    def __post_init__(self) -> None:
        for name in ("initial", "maximum"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"logit_scale.{name} is {value}: expected a positive number.")
        if self.initial is not None and self.maximum is not None and self.initial > self.maximum:
            raise UserError(
                f"logit_scale.initial is {self.initial}, more than logit_scale.maximum, which is {self.maximum}."
            )

    @torch.no_grad()
    def apply(self, encoder: DualEncoder) -> None:
        """Sets and freezes the scale of an encoder as the settings say.

        Raises:
            UserError: If the scale of the encoder is a constant.
        """
        if self == LogitScale():
            return
        if not encoder.logit_parameters:
            raise UserError(
                f"The logit scale of {encoder.model_type} is a constant: unset video_clip.logit_scale, or choose "
                "another encoder."
            )
        scale = encoder.logit_parameters[0]
        if self.initial is not None:
            scale.fill_(math.log(self.initial))
        if not self.trained:
            scale.requires_grad_(False)

    @torch.no_grad()
    def limit(self, encoder: DualEncoder) -> None:
        """Decreases the scale of an encoder to the maximum if it exceeds it."""
        if self.maximum is not None and encoder.logit_parameters:
            encoder.logit_parameters[0].clamp_(max=math.log(self.maximum))


def check_scores(scores: str, encoder: DualEncoder, pretrained: str) -> None:
    """Checks that an encoder's logits have a kind of probabilities.

    Args:
        scores: `softmax` or `sigmoid`.
        encoder: Encoder whose logits become probabilities.
        pretrained: Name of the checkpoint, for messages.

    Raises:
        UserError: If the kind is unknown, or the encoder has no logit bias, which `sigmoid` needs.
    """
    if scores not in get_args(Scores):
        raise UserError(f"scores is '{scores}': expected softmax or sigmoid.")
    if scores == "sigmoid" and encoder.logit_bias is None:
        raise UserError(
            f"{pretrained} is of type {encoder.model_type}, and its logits have no bias, so they only compare classes: "
            "scores can't be sigmoid. Use softmax, or an encoder with a bias, such as SigLIP."
        )
