"""Sentences of all classes as token ids."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from ost_lightning.characters import escaped, shortened
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.text import SentenceSet
from ost_lightning.vocabulary import SentenceKind


@dataclass(frozen=True, slots=True)
class TokenizedSentences:
    """Sentences of all classes as token ids, in host memory.

    Attributes:
        tokens: kind -> int64 (K, N, L), padded.
        lengths: kind -> int64 (K, N), number of tokens that the text tower needs, start and end token included.
    """

    tokens: Mapping[SentenceKind, Tensor]
    lengths: Mapping[SentenceKind, Tensor]

    def select(self, classes: Tensor) -> Self:
        """Returns the sentences of some classes, int64 (U,) in host memory, in the given order."""
        tokens = {kind: rows[classes] for kind, rows in self.tokens.items()}
        return type(self)(tokens, {kind: rows[classes] for kind, rows in self.lengths.items()})


def tokenize(sentences: SentenceSet, tokenizer: SentenceTokenizer) -> TokenizedSentences:
    """Tokenizes the sentences of every kind; all sentences of a kind are padded to the same length.

    Warns:
        UserWarning: If sentences exceed the text tower's positions and are truncated.
    """
    tokens, lengths = {}, {}
    for kind, rows in sentences.sentences.items():
        flat = [sentence for row in rows for sentence in row]
        counts = tokenizer.count(flat)
        truncated = [text for text, count in zip(flat, counts, strict=True) if count > tokenizer.max_tokens]
        if truncated:
            warnings.warn(
                f"{len(truncated)} of {len(flat)} {kind} sentences have more than {tokenizer.max_tokens} tokens and "
                f"are truncated (first: '{escaped(shortened(truncated[0], 200))}'). Shorten them, or give the "
                "templates a short form.",
                stacklevel=3,
            )
        shape = (len(rows), len(rows[0]))
        ids, needed = tokenizer(flat)
        tokens[kind], lengths[kind] = ids.view(*shape, -1), needed.view(shape)
    return TokenizedSentences(tokens, lengths)
