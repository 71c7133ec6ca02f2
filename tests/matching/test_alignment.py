"""Soft dynamic time warping against an enumeration of all paths."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching import SoftDTW, alignment
from ost_lightning.matching.alignment import Moves, soft_alignment
from tests.matching.inputs import embeddings, random_cosines

every_move = pytest.mark.parametrize("moves", ["dtw", "monotone"])
MOVES: dict[Moves, list[tuple[int, int]]] = {"dtw": [(1, 0), (0, 1), (1, 1)], "monotone": [(1, 0), (1, 1)]}


def paths(frames: int, steps: int, moves: Moves, path: tuple[tuple[int, int], ...] = ((0, 0),)) -> Iterator[Tensor]:
    """Yields the cells of every path, (length, 2)."""
    if path[-1] == (frames - 1, steps - 1):
        yield torch.tensor(path)
    for down, right in MOVES[moves]:
        t, n = path[-1][0] + down, path[-1][1] + right
        if t < frames and n < steps:
            yield from paths(frames, steps, moves, (*path, (t, n)))


@every_move
@pytest.mark.parametrize("gamma", [0.02, 0.3, 5.0])
@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (3, 1), (1, 1), (6, 2)])
def test_alignments_are_those_of_all_paths(moves: Moves, gamma: float, shape: tuple[int, int]) -> None:
    costs = random_cosines((2, *shape), 3, 0.0, 1.2)
    values, visits = soft_alignment(costs, gamma, moves)
    for one, value, visited in zip(costs, values, visits, strict=True):
        every = list(paths(*shape, moves))
        summed = torch.stack([one[cells[:, 0], cells[:, 1]].sum() for cells in every])
        expected = torch.zeros(shape, dtype=torch.float64)
        for cells, share in zip(every, (-summed / gamma).softmax(0), strict=True):
            expected[cells[:, 0], cells[:, 1]] += share
        torch.testing.assert_close(value, -gamma * (-summed / gamma).logsumexp(0))
        torch.testing.assert_close(visited, expected)


def test_the_worked_example_of_soft_dtw() -> None:
    costs = torch.tensor([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2]], dtype=torch.float64)
    value, visits = soft_alignment(costs, 0.5)
    assert float(value) == pytest.approx(0.289637, abs=1e-6)
    expected = torch.tensor([[1, 0.072750], [0.487138, 0.645421], [0.059563, 1]], dtype=torch.float64)
    torch.testing.assert_close(visits, expected, atol=1e-6, rtol=0)
    hard, path = soft_alignment(costs, 1e-3)
    assert float(hard) == pytest.approx(0.7, abs=1e-6)
    torch.testing.assert_close(path, torch.tensor([[1.0, 0], [0, 1], [0, 1]], dtype=torch.float64))


@every_move
def test_visits_are_the_derivative_and_gradients_are_exact(moves: Moves) -> None:
    costs = random_cosines((2, 5, 3), 4, 0.0, 1.0).requires_grad_()
    value, visits = soft_alignment(costs, 0.2, moves)
    (derivative,) = torch.autograd.grad(value.sum(), costs, retain_graph=True)
    torch.testing.assert_close(derivative, visits)
    assert torch.autograd.gradcheck(lambda given: soft_alignment(given, 0.2, moves), (costs,), fast_mode=True)


@every_move
def test_scores_are_mean_cosines_of_the_plan(moves: Moves) -> None:
    frames, steps = embeddings(5, 8, 16), embeddings(7, 4, 16, seed=1)
    matcher = SoftDTW(0.1, moves)
    cosines, plan = matcher.cosines_and_plan(frames, steps, "temporal")
    torch.testing.assert_close(plan.sum((-1, -2)), torch.ones(5, 7))
    torch.testing.assert_close(matcher(frames, steps), (plan * cosines).sum((-1, -2)))
    alone = torch.cat([matcher(frame[None], steps) for frame in frames])
    torch.testing.assert_close(matcher(frames, steps), alone)
    backwards = matcher(frames.flip(1), steps.flip(1))
    torch.testing.assert_close(matcher(frames, steps), backwards, atol=1e-5, rtol=0)
    if moves == "monotone":  # every frame has one step
        torch.testing.assert_close(plan.sum(-1), torch.full((5, 7, 8), 1 / 8))


@every_move
def test_long_lists_of_steps_have_no_advantage(moves: Moves) -> None:
    same = embeddings(1, 1, 16)
    frames = same.expand(3, 16, 16)
    for count in (1, 2, 8):
        torch.testing.assert_close(SoftDTW(0.1, moves)(frames, same.expand(2, count, 16)), torch.ones(3, 2))


def test_steps_in_their_order_score_higher() -> None:
    steps = embeddings(1, 4, 16)
    frames = steps.repeat_interleave(2, 1)
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]]
    scores = [float(SoftDTW()(frames, steps[:, order])) for order in orders]
    assert scores[0] == pytest.approx(1, abs=1e-3)
    assert all(second < first - 0.3 for first, second in pairwise([scores[0], max(scores[1:])]))


@pytest.mark.parametrize("gamma", [1e-3, 0.1, 100.0])
def test_plans_and_gradients_are_finite(gamma: float) -> None:
    for shape in ((2, 64, 8), (2, 1, 4), (2, 4, 1)):
        costs = random_cosines(shape, 5, 0.0, 2.0, torch.float32).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            value, visits = soft_alignment(costs, gamma)
        ((visits * costs).sum() + value.sum()).backward()
        assert costs.grad is not None
        assert bool(torch.isfinite(costs.grad).all())
        assert float(visits.detach().sum((-2, -1)).min()) > max(shape[1:]) - 0.01


def test_settings_out_of_range_are_rejected() -> None:
    for gamma in (0.0, -1.0, math.nan):
        with pytest.raises(UserError, match="gamma must be a positive number"):
            SoftDTW(gamma)
    with pytest.raises(UserError, match="expected dtw or monotone"):
        SoftDTW(moves="diagonal")
    with pytest.raises(UserError, match="3 frames and 4 steps"):
        soft_alignment(torch.zeros(3, 4), 0.1, "monotone")


@pytest.mark.parametrize("shape", [(3, 40), (40, 3)])
def test_the_table_of_sums_is_as_narrow_as_it_can_be(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    costs, widths = random_cosines(shape, 5, 0.0, 1.0), []
    value, visits = soft_alignment(costs, 0.2)
    sums = alignment._sums
    monkeypatch.setattr(
        alignment, "_sums", lambda weights, moves: widths.append(weights.shape[-1]) or sums(weights, moves)
    )
    turned, turned_visits = soft_alignment(costs.mT, 0.2)
    soft_alignment(costs, 0.2)
    assert widths == [3, 3]
    torch.testing.assert_close(turned, value)
    torch.testing.assert_close(turned_visits, visits.mT)
