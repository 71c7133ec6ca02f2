import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.models.temporal_context.merging import merge_counts, merge_tokens


def one_by_one(tokens: Tensor, keep: int, merges_per_round: int) -> Tensor:
    """The same merging of tokens (S, D), as lists of (mean, number of original tokens)."""
    current = [(token, 1) for token in tokens]
    for merges in merge_counts(len(current), keep, merges_per_round):
        even, odd = current[::2], current[1::2]
        best = []
        for index, (token, _) in enumerate(even):
            cosines = [float(F.cosine_similarity(token, other, dim=0)) for other, _ in odd]
            target = max(range(len(odd)), key=lambda place: cosines[place])
            best.append((cosines[target], index, target))
        best.sort(key=lambda found: -found[0])
        for _, index, target in best[:merges]:
            (token, size), (other, count) = even[index], odd[target]
            odd[target] = ((token * size + other * count) / (size + count), size + count)
        current = [even[index] for _, index, _ in best[merges:]] + odd
    return torch.stack([token for token, _ in current])


@given(count=st.integers(1, 24), keep=st.integers(1, 12), per_round=st.integers(1, 9), seed=st.integers(0, 99))
def test_tokens_are_merged_as_one_by_one(count: int, keep: int, per_round: int, seed: int) -> None:
    tokens = torch.randn(2, count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = merge_tokens(tokens, keep, per_round)
    assert found.shape == (2, min(keep, count), 5)
    for sample, merged in zip(tokens, found, strict=True):
        torch.testing.assert_close(merged, one_by_one(sample, keep, per_round))


def test_rounds_are_those_of_the_published_sizes() -> None:
    assert [*merge_counts(928, 96, 100)] == [100] * 8 + [32]
    assert [*merge_counts(40, 12, 15)] == [15, 12, 1]
    assert [*merge_counts(5, 8, 3)] == []


def test_merged_values_have_the_gradients_of_means() -> None:
    tokens = torch.randn(1, 20, 4, requires_grad=True)
    merge_tokens(tokens, 6, 4).sum().backward()
    assert tokens.grad is not None
    # each context token is a mean, so that the gradients of the tokens in it sum to one
    assert float(tokens.grad[..., 0].sum()) == pytest.approx(6, rel=1e-5)
