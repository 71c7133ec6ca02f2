"""Padding of short batches, so that a compiled tower is compiled once."""

import torch
from torch import Tensor
from torch.nn import functional as F


class BatchPadding:
    """Pads batches of clips to the largest one so far, with black clips, once it is on.

    The last batch of an evaluation, and any with unreadable videos, is short. Without padding, the tower would be
    compiled again for it, and then for any size, which is slower. With gradients nothing is padded, because black clips
    would take part in statistics of the batch.

    Attributes:
        on: Whether batches are padded.
    """

    def __init__(self) -> None:
        self.on = False
        self._largest: dict[torch.Size, int] = {}

    def __call__(self, clips: Tensor) -> Tensor:
        """Maps clips (B, ...) to at least as many, (B', ...), the same ones first."""
        if not self.on or torch.is_grad_enabled():
            return clips
        shape = clips.shape[1:]
        size = self._largest[shape] = max(len(clips), self._largest.get(shape, 0))
        return F.pad(clips, (0, 0) * len(shape) + (0, size - len(clips))) if size > len(clips) else clips
