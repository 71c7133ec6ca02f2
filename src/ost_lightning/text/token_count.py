"""Sentence lengths as a text tower counts them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Token counter of a text tower.

    Attributes:
        count: Function that returns each sentence's number of tokens, including start and end token.
        limit: Number of token positions of the tower.
        tokenizer: Name of the tokenizer for messages.
        read: Function that returns for each text what the tower reads of it, for finding texts that are the same to it;
            None to compare without case and extra spaces.
    """

    count: Callable[[Sequence[str]], Sequence[int]]
    limit: int
    tokenizer: str
    read: Callable[[Sequence[str]], Sequence[Hashable]] | None = None
