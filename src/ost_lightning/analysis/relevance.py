"""Where in a frame the evidence is: relevance of the patches of a vision transformer.

An image is embedded by the class token of the last layer, or by a query that pools the last layer's tokens (SigLIP).
The pooling query is not among the tokens that it attends to, so its attention replaces the class token's row.
"""

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention


def class_attention(attention: VisionAttention) -> Tensor:
    """Returns the attention of the class token in the last layer, or of the pooling query, averaged over heads.

    It is independent of any sentence.

    Args:
        attention: Attention of the vision tower.

    Returns:
        (B, P) for P patches, non-negative.
    """
    if attention.pooling is not None:
        return attention.pooling[:, :, 0].mean(1)
    return attention.layers[-1][:, :, 0, 1:].mean(1)


def attention_rollout(attention: VisionAttention) -> Tensor:
    """Returns attention rollout: attention followed through all layers and residual connections.

    Abnar and Zuidema, ACL 2020. It is independent of any sentence. The pooling has no residual connection.

    Args:
        attention: Attention of the vision tower.

    Returns:
        (B, P) for P patches, non-negative; the sum is 1, or less by the share of the class token.
    """
    row = _class_token(attention.layers[0]) if attention.pooling is None else attention.pooling[:, :, 0].mean(1)
    for layer in reversed(attention.layers):
        row = 0.5 * row + 0.5 * _through(row, layer.mean(1))
    return row[:, 1:] if attention.has_class_token else row


def descriptor_relevance(attention: VisionAttention, gradients: VisionAttention, first_layer: int = 0) -> Tensor:
    """Returns the relevance of each patch for the score that the gradients belong to.

    Chefer et al., ICCV 2021, Eq. 5 and 6: per layer, the positive part of gradient times attention, averaged over heads
    and accumulated over layers. A pooling query is treated like attention between two kinds of tokens (Eq. 10).
    Relevance isn't linear in the score, so scores should include the model's logit scale.

    Args:
        attention: Attention of the vision tower.
        gradients: Gradient of the score with respect to each attention, of the same shapes.
        first_layer: First layer that is accumulated. The paper starts at 0; the authors' notebook shows the last layer
            alone.

    Returns:
        (B, P) for P patches, non-negative.

    Raises:
        UserError: If `first_layer` is outside the layers.
    """
    count = len(attention.layers)
    if not -count <= first_layer < count:
        raise UserError(f"first_layer is {first_layer}, but the vision tower has {count} layers.")
    # only one row is needed, and a row times a matrix is cheaper than a product of matrices
    if attention.pooling is not None and gradients.pooling is not None:
        row = _positive(attention.pooling, gradients.pooling)[:, 0]
    else:
        row = _class_token(attention.layers[0])
    layers = list(zip(attention.layers, gradients.layers, strict=True))[first_layer:]
    for layer, gradient in reversed(layers):
        row = row + _through(row, _positive(layer, gradient))
    return row[:, 1:] if attention.has_class_token else row


def _class_token(layer: Tensor) -> Tensor:
    row = layer.new_zeros(len(layer), layer.shape[-1])
    row[:, 0] = 1
    return row


def _positive(attention: Tensor, gradient: Tensor) -> Tensor:
    """Positive part of gradient times attention (B, heads, R, L), averaged over heads: (B, R, L)."""
    return (gradient * attention).clamp_min(0).mean(1)


def _through(row: Tensor, mixing: Tensor) -> Tensor:
    """Multiplies a row (B, L) by a matrix (B, L, L); one with a single row (B, 1, L) holds the class token's."""
    return torch.einsum("bi,bij->bj", row[:, : mixing.shape[1]], mixing)
