"""Conformal sets: ranks by hand, equal ways of writing them, and the promised coverage by simulation."""

import math

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.conformal import (
    Calibration,
    ConformalCalibrator,
    Nonconformity,
    nonconformity,
    smallest_calibration,
)

every_kind = pytest.mark.parametrize("kind", ["similarity", "probability", "cumulative"])


def scores_and_labels(count: int, classes: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of a mediocre model, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(count), labels] += 1.5
    return logits, labels


def scores_of(kind: Nonconformity, logits: Tensor) -> Tensor:
    return logits if kind == "similarity" else logits.softmax(1)


@pytest.mark.parametrize(
    ("count", "alpha", "rank"),
    [(9, 0.1, 9), (10, 0.1, 10), (19, 0.05, 19), (99, 0.01, 99), (18, 0.05, None), (102, 0.1, 93), (9, 0.09, None)],
)
def test_the_threshold_is_the_right_order_statistic(count: int, alpha: float, rank: int | None) -> None:
    scores = torch.randn(count, 1, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    calibration = ConformalCalibrator("similarity").fit(scores, [0] * count)
    expected = math.inf if rank is None else sorted((-scores.flatten()).tolist())[rank - 1]
    assert calibration.threshold(alpha) == expected
    assert (smallest_calibration(alpha) <= count) == (rank is not None)


@every_kind
def test_sets_are_the_classes_with_p_values_above_alpha(kind: Nonconformity) -> None:
    logits, labels = scores_and_labels(40)
    # rounded scores, so that ties occur
    scores = (scores_of(kind, logits) * 8).round() / 8
    calibration = ConformalCalibrator(kind).fit(scores, labels)
    new = (scores_of(kind, scores_and_labels(200, seed=1)[0]) * 8).round() / 8
    for alpha in (0.02, 0.1, 0.25, 0.5):
        assert torch.equal(calibration.sets(new, alpha), calibration.p_values(new) > alpha)


@every_kind
def test_the_order_of_labeled_videos_does_not_matter(kind: Nonconformity) -> None:
    logits, labels = scores_and_labels(30)
    scores, order = scores_of(kind, logits), torch.randperm(30)
    calibrator = ConformalCalibrator(kind)
    first, second = calibrator.fit(scores, labels), calibrator.fit(scores[order], labels[order])
    assert torch.equal(first.positives, second.positives)


@every_kind
@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_coverage_is_as_promised(kind: Nonconformity, alpha: float) -> None:
    count, rounds, generator = 40, 400, torch.Generator().manual_seed(5)
    covered = []
    for seed in range(rounds):
        logits, labels = scores_and_labels(count + 50, seed=seed)
        scores, draws = scores_of(kind, logits), torch.rand(count + 50, generator=generator, dtype=torch.float64)
        calibration = ConformalCalibrator(kind).fit(scores[:count], labels[:count], draws=draws[:count])
        sets = calibration.sets(scores[count:], alpha, draws[count:])
        covered.append(float(sets.gather(1, labels[count:, None]).double().mean()))
    mean = sum(covered) / rounds
    spread = math.sqrt((calibration.deviation(alpha) ** 2 + alpha * (1 - alpha) / 50) / rounds)
    assert 1 - alpha - 4 * spread <= mean <= 1 - alpha + 1 / (count + 1) + 4 * spread


def test_the_deviation_of_the_coverage_is_that_of_the_beta_distribution() -> None:
    # n = 100, alpha = 0.1: Beta(91, 10)
    calibration = Calibration("similarity", torch.zeros(100), torch.empty(0))
    beta = torch.distributions.Beta(torch.tensor(91.0), torch.tensor(10.0))
    assert calibration.deviation(0.1) == pytest.approx(float(beta.stddev))
    assert Calibration("similarity", torch.zeros(5), torch.empty(0)).deviation(0.1) == 0


def test_videos_of_none_are_claimed_at_the_promised_rate() -> None:
    generator, beta, claims = torch.Generator().manual_seed(0), 0.1, []
    for _ in range(300):
        negatives = torch.randn(30 + 50, 5, generator=generator)
        calibration = ConformalCalibrator().fit(torch.zeros(1, 5), [0], negatives[:30])
        claims.append(float((calibration.background_p_values(negatives[30:]) <= beta).double().mean()))
    mean, spread = sum(claims) / 300, math.sqrt(beta * (1 - beta) * (1 / 30 + 1 / 50) / 300)
    assert mean <= beta + 4 * spread
    assert mean >= beta - 1 / 31 - 4 * spread


def test_an_empty_set_is_none_of_these() -> None:
    calibration = ConformalCalibrator("similarity").fit(torch.full((9, 2), 0.3), [0] * 9)
    assert not calibration.sets(torch.tensor([[0.1, 0.2]]), 0.1).any()


def test_too_few_videos_exclude_nothing() -> None:
    calibration = ConformalCalibrator("similarity").fit(torch.full((8, 2), 0.3), [0] * 8)
    assert calibration.sets(torch.tensor([[-1.0, -1.0]]), 0.1).all()


def test_cumulative_scores_by_hand() -> None:
    found = nonconformity(torch.tensor([[0.2, 0.5, 0.3]]), "cumulative", torch.tensor([0.5]))
    torch.testing.assert_close(found, torch.tensor([[0.9, 0.25, 0.65]], dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_a_risk_that_is_none_is_rejected(alpha: float) -> None:
    calibration = ConformalCalibrator().fit(torch.zeros(3, 2), [0, 1, 0])
    with pytest.raises(UserError, match="between 0 and 1"):
        calibration.sets(torch.zeros(1, 2), alpha)


def test_wrong_input_is_rejected() -> None:
    calibrator = ConformalCalibrator()
    with pytest.raises(UserError, match="from 0 to 1, but are from 0 to 2"):
        calibrator.fit(torch.zeros(3, 2), [0, 1, 2])
    with pytest.raises(UserError, match="at least one"):
        calibrator.fit(torch.zeros(0, 2), [])
    with pytest.raises(UserError, match="finite"):
        calibrator.fit(torch.tensor([[0.1, math.nan]]), [0])
    with pytest.raises(UserError, match="show none"):
        calibrator.fit(torch.zeros(1, 2), [0]).background_p_values(torch.zeros(1, 2))
    with pytest.raises(UserError, match="similarity, probability, cumulative"):
        ConformalCalibrator("raps")  # type: ignore[arg-type]
