"""Sentences of all classes as token ids."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.characters import escaped, shortened
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.text import LabelSpace, SentenceSet, alike_names, describe_alike
from ost_lightning.vocabulary import SentenceKind


@dataclass(frozen=True, slots=True)
class TokenizedSentences:
    """Sentences of all classes as token ids, in host memory.

    Attributes:
        tokens: kind -> int64 (K, N, L), padded.
        lengths: kind -> int64 (K, N), number of tokens that the text tower needs, start and end token included.
        prompts: Row of the learned prompts that each class gets, int64 (K,); None for sentences without such prompts.
    """

    tokens: Mapping[SentenceKind, Tensor]
    lengths: Mapping[SentenceKind, Tensor]
    prompts: Tensor | None = None

    def select(self, classes: Tensor) -> Self:
        """Returns the sentences of some classes, int64 (U,) in host memory, in the given order."""
        tokens = {kind: rows[classes] for kind, rows in self.tokens.items()}
        lengths = {kind: rows[classes] for kind, rows in self.lengths.items()}
        return type(self)(tokens, lengths, None if self.prompts is None else self.prompts[classes])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yields the sentences of all kinds one after the other, padded to the longest of each batch.

        Args:
            size: Largest number of sentences of a batch.

        Yields:
            Token ids (n, L), lengths (n,), and the rows of the learned prompts (n,), if there are any.
        """
        tokens = [row for kind in self.tokens for row in self.tokens[kind].flatten(0, 1).unbind()]
        lengths = torch.cat([rows.flatten() for rows in self.lengths.values()])
        prompts = self.prompts
        if prompts is not None:
            prompts = torch.cat([prompts.repeat_interleave(rows.shape[1]) for rows in self.lengths.values()])
        for start in range(0, len(tokens), size):
            counts = lengths[start : start + size]
            longest = int(counts.max())
            part = torch.stack([_to_length(row, longest) for row in tokens[start : start + size]])
            yield part, counts, None if prompts is None else prompts[start : start + size]


def warn_about_names(labels: LabelSpace, tokenizer: SentenceTokenizer, pretrained: str) -> None:
    """Warns of class names that are the same text for a tokenizer, or that it reads in part.

    Args:
        labels: Class names.
        tokenizer: Tokenizer of the checkpoint.
        pretrained: Name of the checkpoint, for messages.

    Warns:
        UserWarning: If there are such names.
    """
    groups = alike_names(labels.names, tokenizer.read)
    if message := describe_alike(groups, labels.origin, f"tokenizer of {pretrained}"):
        warnings.warn(message, stacklevel=3)
    if cut := [name for name in labels.names if tokenizer.ends_early(name)]:
        warnings.warn(
            f"{len(cut)} class names of the label space {labels.origin} have characters for which the tokenizer of "
            f"{pretrained} has only its end token, so that nothing behind them is read (first: '{escaped(cut[0])}'). "
            "Replace these characters.",
            stacklevel=3,
        )


def tokenize(
    sentences: SentenceSet, tokenizer: SentenceTokenizer, prompts: Sequence[int] | None = None
) -> TokenizedSentences:
    """Tokenizes the sentences of every kind; all sentences of a kind are padded to the same length.

    Args:
        sentences: Sentences of all classes.
        tokenizer: Tokenizer of the checkpoint, whose limit leaves room for learned prompts.
        prompts: Row of the learned prompts that each class gets; None for sentences without such prompts.

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
    return TokenizedSentences(tokens, lengths, None if prompts is None else torch.tensor(prompts, dtype=torch.int64))


def _to_length(tokens: Tensor, length: int) -> Tensor:
    return tokens[:length] if len(tokens) >= length else F.pad(tokens, (0, length - len(tokens)), value=int(tokens[-1]))
