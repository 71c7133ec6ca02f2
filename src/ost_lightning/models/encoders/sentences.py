"""Sentences as the tokens of one checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class SentenceTokenizer:
    """A checkpoint's tokenizer, with what its text tower expects.

    Attributes:
        tokenizer: The checkpoint's own.
        max_tokens: Positions of the text tower, start and end token included.
        fixed_length: Sentences are padded to all positions, and the tower looks at the padding too, which needs the
            end of a sentence to be in the same place as in training. Otherwise padding changes nothing, and sentences
            are padded to the longest.
        canonicalize: Changes a sentence before it is tokenized.
    """

    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    fixed_length: bool = False
    canonicalize: Callable[[str], str] | None = None

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokenizes sentences; those that are too long are cut.

        Returns:
            int64 (n, L) token ids, padded, and int64 (n,) how many of them the text tower has to see.
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
        """Tokens of each sentence, uncut and unpadded, start and end token included."""
        return [len(tokens) for tokens in self.tokenizer(self._prepared(sentences))["input_ids"]]

    def save_pretrained(self, folder: Path) -> None:
        """Writes the tokenizer's files."""
        self.tokenizer.save_pretrained(folder)

    def _prepared(self, sentences: Sequence[str]) -> list[str]:
        return [self.canonicalize(text) if self.canonicalize else text for text in sentences]
