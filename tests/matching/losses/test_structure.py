import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.matching import random_directions, relative_structure, structure_distillation


def unit(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_directions_are_unit_vectors_that_belong_to_their_generator() -> None:
    first, again, other = (random_directions(50, 8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(50))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_structure_is_on_average_the_cosine_times_directions_per_channel() -> None:
    videos, texts = unit(4, 16, seed=1), unit(6, 16, seed=2)
    generator = torch.Generator().manual_seed(3)
    found = torch.stack([relative_structure(videos, texts, random_directions(32, 16, generator)) for _ in range(3000)])
    torch.testing.assert_close(found.mean(0), 2 * videos @ texts.T, atol=0.03, rtol=0)


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 100))
def test_divergence_is_zero_only_for_the_same_structure(seed: int, scale: float) -> None:
    student, teacher = unit(5, 7, seed=seed).double(), unit(5, 7, seed=seed + 1).double()
    at = torch.tensor(scale, dtype=torch.float64)
    assert float(structure_distillation(teacher, teacher, at)) == pytest.approx(0, abs=1e-9)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=at * teacher), torch.distributions.Categorical(logits=at * student)
    ).mean()
    torch.testing.assert_close(structure_distillation(student, teacher, at), expected, rtol=1e-6, atol=1e-9)
