"""Tokenization of sentences for one checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def attention_mask(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mask with which a bidirectional text tower ignores padding.

    Args:
        tokens: Token ids, padded on the right, int64 (n, L).
        lengths: Number of tokens of each sentence, without padding, int64 (n,).

    Returns:
        int64 (n, L), on the device of the tokens: 1 for tokens, 0 for padding.
    """
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    return (positions < lengths.to(tokens.device, non_blocking=True)[:, None]).long()


@dataclass(frozen=True)
class SentenceTokenizer:
    """A checkpoint's tokenizer, with the padding, truncation and canonicalization that its text tower expects.

    Attributes:
        tokenizer: Tokenizer of the checkpoint.
        max_tokens: Number of positions of the text tower, start and end token included.
        fixed_length: Whether to pad sentences to all positions. Towers that attend to the padding need this, because
            they were trained with it. For other towers padding has no effect, and sentences are padded to the longest.
        canonicalize: Function applied to a sentence before it is tokenized; None for no change.
        end_token: Id of the token at which the text tower is read; None if it is read elsewhere.
    """

    tokenizer: "PreTrainedTokenizerBase"
    max_tokens: int
    fixed_length: bool = False
    canonicalize: Callable[[str], str] | None = None
    end_token: int | None = None

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokenizes sentences, and truncates those that are too long.

        Returns:
            Padded token ids, int64 (n, L), and the number of tokens that the text tower needs of each, int64 (n,).
        """
        encoded = self.tokenizer(
            self._prepared(sentences),
            padding="max_length" if self.fixed_length else True,
            padding_side="right",
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
            return_attention_mask=True,
        )
        tokens: Tensor = encoded["input_ids"]
        if self.fixed_length:
            return tokens, torch.full((len(tokens),), self.max_tokens)
        return tokens, encoded["attention_mask"].sum(-1)

    def count(self, sentences: Sequence[str]) -> list[int]:
        """Returns the number of tokens of each sentence without truncation or padding, start and end token included."""
        return [len(tokens) for tokens in self.read(sentences)]

    def read(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Returns the token ids of each text, without truncation or padding; texts with equal ids are the same."""
        # verbose would warn of errors in sentences that are too long, which are truncated before they are embedded
        return [tuple(tokens) for tokens in self.tokenizer(self._prepared(texts), verbose=False)["input_ids"]]

    def ends_early(self, text: str) -> bool:
        """Returns whether a text contains the end token with other tokens behind it, so that these are not read."""
        (tokens,) = self.read([text])
        if self.end_token is None or self.end_token not in tokens:
            return False
        return any(token != self.end_token for token in tokens[tokens.index(self.end_token) :])

    def save_pretrained(self, folder: Path) -> None:
        """Writes the tokenizer's files."""
        self.tokenizer.save_pretrained(folder)

    def _prepared(self, sentences: Sequence[str]) -> list[str]:
        return [self.canonicalize(text) if self.canonicalize else text for text in sentences]
