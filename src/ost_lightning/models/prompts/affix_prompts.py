"""Learned vectors before and after each sentence, the same for all classes."""

from typing import Final, Literal

import torch
from torch import Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.models.prompts.base import TextPrompts

_STD: Final = 0.01


class AffixPrompts(TextPrompts):
    """Learned vectors before and after each sentence: start, prefix, sentence, postfix, end.

    As released, a vector belongs to a position of the text tower. The vectors after a sentence then depend on its
    length: they begin one row later in the table for a name that is one token longer. With `postfix_by: slot`, as the
    paper describes it, the same vectors follow every name.

    Source: Ju et al., "Prompting visual-language models for efficient video understanding", ECCV 2022.

    Args:
        prefix: Number of vectors before each sentence.
        postfix: Number of vectors after each sentence.
        postfix_by: Meaning of a row of the table: a `position` of the text tower, or a `slot` before or after the
            sentence.

    Raises:
        UserError: If there is no vector, or no position is left for a sentence.
    """

    def __init__(
        self,
        shape: TowerShape,
        prefix: int = 16,
        postfix: int = 16,
        postfix_by: Literal["position", "slot"] = "position",
    ) -> None:
        if min(prefix, postfix) < 0:
            raise UserError(f"video_clip.text_prompts has prefix {prefix} and postfix {postfix}: expected at least 0.")
        super().__init__(shape, prefix + postfix)
        self.prefix, self.postfix, self.postfix_by = prefix, postfix, postfix_by
        self.table = nn.Embedding(shape.positions if postfix_by == "position" else self.count, shape.width)
        nn.init.normal_(self.table.weight, std=_STD)

    def forward(self, embedded: Tensor, ends: Tensor, rows: Tensor) -> Tensor:
        """Maps (n, L, W) to (n, L + count, W); all rows are 0."""
        positions = torch.arange(embedded.shape[1] + self.count, device=embedded.device)
        before = (positions > 0) & (positions <= self.prefix)
        # the sentence's tokens are at 1 .. end - 1, so the first vector behind it comes to stand at prefix + end
        first = self.prefix + ends[:, None]
        after = (positions >= first) & (positions < first + self.postfix)
        source = torch.where(positions < first, positions - self.prefix, positions - self.count).clamp(min=0)
        tokens = embedded.gather(1, source[..., None].expand(-1, -1, embedded.shape[-1]))
        if self.postfix_by == "position":
            learned = self.table(positions)[None]
        else:
            slots = torch.where(after, self.prefix + positions - first, positions - 1)
            learned = self.table(slots.clamp(0, self.count - 1))
        return torch.where((before | after)[..., None], learned.to(tokens.dtype), tokens)
