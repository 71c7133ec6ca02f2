"""Merging of similar tokens to a given number."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


def merge_tokens(tokens: Tensor, keep: int, merges_per_round: int) -> Tensor:
    """Merges the tokens of each sample, most similar ones first, until `keep` are left.

    In each round, tokens at even places look for the most similar one at an odd place, by cosine. Those with the
    highest cosines are merged into what they found. A merged token is the mean of the original tokens that it stands
    for. The unmerged even ones come before the odd ones in the next round, in falling order of their cosines.

    Which tokens are merged has no gradient; their values have one.

    Args:
        tokens: (B, S, D).
        keep: Number of tokens to keep, k; if there are no more than that, all are kept as they are.
        merges_per_round: Largest number of merges per round.

    Returns:
        (B, min(k, S), D).
    """
    sizes = torch.ones_like(tokens[..., :1])
    for merges in merge_counts(tokens.shape[1], keep, merges_per_round):
        tokens, sizes = _merged(tokens, sizes, merges)
    return tokens


def merge_counts(count: int, keep: int, merges_per_round: int) -> Iterator[int]:
    """Yields the number of merges of each round.

    Args:
        count: Number of tokens.
        keep: Number of tokens to keep.
        merges_per_round: Largest number of merges per round.
    """
    for _ in range(max(0, count - keep) // merges_per_round):
        merges = min(merges_per_round, count // 2)
        count -= merges
        yield merges
    while count > keep:
        merges = min(count - keep, count // 2)
        count -= merges
        yield merges


def _merged(tokens: Tensor, sizes: Tensor, merges: int) -> tuple[Tensor, Tensor]:
    """Merges once; `sizes` (B, S, 1) is the number of original tokens that each token stands for."""
    (even, odd), (even_sizes, odd_sizes) = ((rows[:, ::2], rows[:, 1::2]) for rows in (tokens, sizes))
    with torch.no_grad():
        unit = F.normalize(tokens.float(), dim=-1)
        nearness, nearest = (unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)).max(dim=-1)
        order = nearness.argsort(dim=-1, descending=True, stable=True)
        merged, kept = order[:, :merges], order[:, merges:]
        into = nearest.gather(1, merged)
    weighted = _rows(even * even_sizes, merged)
    totals = (odd * odd_sizes).scatter_add(1, into[..., None].expand_as(weighted), weighted)
    odd_sizes = odd_sizes.scatter_add(1, into[..., None], _rows(even_sizes, merged))
    tokens = torch.cat([_rows(even, kept), totals / odd_sizes], dim=1)
    return tokens, torch.cat([_rows(even_sizes, kept), odd_sizes], dim=1)


def _rows(tokens: Tensor, indices: Tensor) -> Tensor:
    """Takes the rows (B, n, D) with these indices, (B, n), from tokens (B, S, D)."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))
