"""Kinds of probabilities that a video shows a class."""

from typing import Literal, get_args

from ost_lightning.errors import UserError
from ost_lightning.models.encoders import DualEncoder

Scores = Literal["softmax", "sigmoid"]
"""Probabilities that a video shows a class: of all classes together, or of each class by itself."""


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
            f"{pretrained} is a {encoder.model_type}, whose logits have no bias and only compare classes: scores can't "
            "be sigmoid. Use softmax, or an encoder with a bias, such as SigLIP."
        )
