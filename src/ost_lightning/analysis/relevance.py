"""Where in a frame the evidence is: relevance of the patches of a vision transformer with a class token.

All functions take the attention of every layer, from input to output: probabilities after the softmax, of shape
(B, heads, L, L). Token 0 is the class token. The last layer may contain only its row, (B, heads, 1, L).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ost_lightning.errors import UserError


def class_attention(attentions: Sequence[Tensor]) -> Tensor:
    """Returns the class token's attention in the last layer, averaged over heads.

    It is independent of any sentence.

    Args:
        attentions: Attention of each layer.

    Returns:
        (B, P), P = L - 1 patches, non-negative.
    """
    return attentions[-1][:, :, 0, 1:].mean(1)


def attention_rollout(attentions: Sequence[Tensor]) -> Tensor:
    """Returns attention rollout: attention followed through all layers and residual connections.

    Abnar and Zuidema, ACL 2020. It is independent of any sentence.

    Args:
        attentions: Attention of each layer.

    Returns:
        (B, P), non-negative.
    """
    row = _class_token(attentions[0])
    for attention in reversed(attentions):
        row = 0.5 * row + 0.5 * _through(row, attention.mean(1))
    return row[:, 1:]


def descriptor_relevance(attentions: Sequence[Tensor], gradients: Sequence[Tensor], first_layer: int = 0) -> Tensor:
    """Returns the relevance of each patch for the score that the gradients belong to.

    Chefer et al., ICCV 2021, Eq. 5 and 6: per layer, the positive part of gradient times attention, averaged over heads
    and accumulated over layers. Relevance isn't linear in the score, so scores should include the model's logit scale.

    Args:
        attentions: Attention of each layer.
        gradients: Gradient of the score with respect to each attention, of the same shapes.
        first_layer: First layer that is accumulated. The paper starts at 0; the authors' notebook shows the last layer
            alone.

    Returns:
        (B, P), non-negative.

    Raises:
        UserError: If `first_layer` is outside the layers.
    """
    if not -len(attentions) <= first_layer < len(attentions):
        raise UserError(f"first_layer is {first_layer}, but the vision tower has {len(attentions)} layers.")
    # only the class token's row is needed, and a row times a matrix is cheaper than a product of matrices
    row = _class_token(attentions[0])
    layers = list(zip(attentions, gradients, strict=True))[first_layer:]
    for attention, gradient in reversed(layers):
        row = row + _through(row, (gradient * attention).clamp_min(0).mean(1))
    return row[:, 1:]


def _class_token(attention: Tensor) -> Tensor:
    row = attention.new_zeros(len(attention), attention.shape[-1])
    row[:, 0] = 1
    return row


def _through(row: Tensor, mixing: Tensor) -> Tensor:
    """Multiplies a row (B, L) by a matrix (B, L, L); one with a single row (B, 1, L) holds the class token's."""
    return torch.einsum("bi,bij->bj", row[:, : mixing.shape[1]], mixing)
