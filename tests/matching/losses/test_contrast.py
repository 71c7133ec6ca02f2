import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from ost_lightning.matching import bag_contrast, symmetric_kl


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_loss_agrees_with_its_definition(labels: list[int], seed: int) -> None:
    logits = torch.randn(len(labels), len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    total = 0.0
    for matrix in (logits, logits.T):
        for i, row in enumerate(matrix.tolist()):
            weights = [math.exp(10.0 * (labels[i] == label)) for label in labels]
            target = [weight / sum(weights) for weight in weights]
            share = [math.exp(value) for value in row]
            total += sum(q * math.log(q / (p / sum(share))) for q, p in zip(target, share, strict=True))
    expected = torch.tensor(total / len(labels) / 2, dtype=torch.float64)
    torch.testing.assert_close(symmetric_kl(logits, torch.tensor(labels)), expected)


def test_loss_of_perfect_scores_is_zero() -> None:
    labels = torch.tensor([0, 1, 0, 2])
    perfect = 10.0 * (labels[:, None] == labels).float()
    assert float(symmetric_kl(perfect, labels)) < 1e-6
    assert float(symmetric_kl(-perfect, labels)) > 1


def test_order_of_samples_does_not_matter() -> None:
    logits, labels, order = torch.randn(6, 6), torch.tensor([0, 1, 1, 2, 0, 3]), torch.randperm(6)
    torch.testing.assert_close(symmetric_kl(logits[order][:, order], labels[order]), symmetric_kl(logits, labels))


def test_factor_one_sums_the_two_directions() -> None:
    logits, labels = torch.randn(4, 4), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(symmetric_kl(logits, labels, factor=1.0), 2 * symmetric_kl(logits, labels))


VECTORS = load_file(Path(__file__).parents[2] / "tasks" / "maxi.safetensors")
"""Losses and gradients of MAXI's released code."""


@pytest.mark.parametrize(("positives", "name"), [("pairs", "released"), ("pooled", "paper")])
def test_bag_contrast_and_its_gradient_are_those_of_maxi(positives: str, name: str) -> None:
    scores = VECTORS["loss.scores"].requires_grad_()
    loss = bag_contrast(scores, VECTORS["loss.labels"].long(), positives=positives)
    torch.testing.assert_close(loss, VECTORS[f"loss.{name}"], rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(loss, scores)
    torch.testing.assert_close(gradient, VECTORS[f"loss.{name}.grad"], rtol=1e-4, atol=1e-7)


@given(labels=st.lists(st.integers(0, 2), min_size=1, max_size=5), size=st.integers(1, 4), seed=st.integers(0, 99))
def test_bag_contrast_agrees_with_its_definition(labels: list[int], size: int, seed: int) -> None:
    count, generator = len(labels), torch.Generator().manual_seed(seed)
    logits = torch.randn(count, count * size, dtype=torch.float64, generator=generator)
    scores = logits.exp().view(count, count, size).sum(-1).tolist()
    shares = [[value / sum(row) for value in row] for row in scores]
    same = [[i for i, label in enumerate(labels) if label == own] for own in labels]
    pairs = [-math.log(shares[i][j]) for i in range(count) for j in same[i]]
    pooled = [-math.log(sum(shares[i][j] for j in same[i])) for i in range(count)]
    found = bag_contrast(logits, torch.tensor(labels)), bag_contrast(logits, torch.tensor(labels), positives="pooled")
    assert [float(loss) for loss in found] == pytest.approx([sum(pairs) / len(pairs), sum(pooled) / count], abs=1e-9)


def test_bag_contrast_depends_neither_on_the_order_within_bags_nor_on_copies() -> None:
    logits, labels = torch.randn(3, 3, 4), torch.tensor([0, 1, 0])
    loss = bag_contrast(logits.flatten(1), labels)
    torch.testing.assert_close(bag_contrast(logits[..., torch.randperm(4)].flatten(1), labels), loss)
    single = torch.randn(3, 3)
    copies = single[..., None].expand(3, 3, 5).flatten(1)
    torch.testing.assert_close(bag_contrast(copies, labels), bag_contrast(single, labels))


def test_bag_contrast_stays_finite_for_large_logits() -> None:
    logits = torch.tensor([[900.0, -900.0], [900.0, -900.0]], requires_grad=True)
    loss = bag_contrast(logits, torch.tensor([0, 1]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(900)
    assert bool(logits.grad.isfinite().all())


def test_bags_of_different_sizes_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"not those of 2 videos with equally large bags"):
        bag_contrast(torch.zeros(2, 5), torch.tensor([0, 1]))
