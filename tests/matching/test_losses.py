import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.matching import symmetric_kl


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
