"""Attention of a vision tower, from its patches to the embedding of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class VisionAttention:
    """Attention of every layer of a vision tower, after the softmax, or the gradients with respect to it.

    With a class token, token 0 is the class token and the others are patches, in rows. Without one, all tokens are
    patches, and a query pools them after the last layer.

    Attributes:
        layers: Attention of each layer, from input to output, (n, heads, L, L). The last one may contain only the row
            of the class token, (n, heads, 1, L).
        pooling: Attention of the pooling query to the tokens, (n, heads, 1, L); None with a class token.
    """

    layers: tuple[Tensor, ...]
    pooling: Tensor | None = None

    @property
    def has_class_token(self) -> bool:
        """Whether the image's embedding is the class token of the last layer."""
        return self.pooling is None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All layers, then the pooling if there is one."""
        return self.layers if self.pooling is None else (*self.layers, self.pooling)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """Returns the same structure with other tensors, such as gradients.

        Args:
            tensors: One tensor for each of `tensors`, in the same order.
        """
        layers, pooling = tuple(tensors[: len(self.layers)]), tensors[len(self.layers) :]
        return type(self)(layers, pooling[0] if pooling else None)
