"""Preference for steps in their order: what it adds, and what it leaves alone."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, MaxSimilarity, OptimalDescriptorSolver, OrderContrast, TermWeights


def texts(classes: int = 3) -> list[Tensor]:
    return [F.normalize(torch.randn(classes, 4, 32), dim=-1) for _ in range(2)]


def test_playing_a_video_backwards_reverses_the_difference() -> None:
    frames, sentences = F.normalize(torch.randn(5, 8, 32), dim=-1), texts()
    solver = OptimalDescriptorSolver()
    ordered = OrderContrast(solver)
    plain = solver(frames, *sentences)
    forward, backward = (ordered(one, *sentences) - plain for one in (frames, frames.flip(1)))
    torch.testing.assert_close(forward, -backward, atol=1e-3, rtol=0)
    assert float(forward.abs().max()) > 0.01


def test_the_difference_is_that_of_the_transported_similarities() -> None:
    frames, (spatio, temporal) = F.normalize(torch.randn(2, 8, 32), dim=-1), texts()
    inner = OptimalDescriptorSolver()
    transported = OrderContrast(inner, order_sigma=0.2)._ordered
    assert transported.temporal.order_sigma == 0.2
    assert transported.terms == TermWeights(0, 0, 0, 1)
    expected = inner(frames, spatio, temporal)
    expected = expected + 3 * (transported(frames, temporal) - transported(frames, temporal.flip(1)))
    found = OrderContrast(inner, order_sigma=0.2, weight=3)(frames, spatio, temporal)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("matcher", [OptimalDescriptorSolver(), MaxSimilarity()], ids=lambda one: type(one).__name__)
def test_still_videos_and_single_steps_have_no_order(matcher: OptimalDescriptorSolver | MaxSimilarity) -> None:
    still, sentences = F.normalize(torch.randn(4, 1, 32), dim=-1).expand(4, 8, 32), texts()
    ordered = OrderContrast(matcher, weight=100)
    torch.testing.assert_close(ordered(still, *sentences), matcher(still, *sentences), atol=1e-3, rtol=0)
    frames, single = F.normalize(torch.randn(4, 8, 32), dim=-1), [one[:, :1] for one in sentences]
    torch.testing.assert_close(ordered(frames, *single), matcher(frames, *single), atol=1e-3, rtol=0)


def test_what_has_no_steps_is_refused() -> None:
    with pytest.raises(UserError, match="CategoryName takes no Temporal Descriptors"):
        OrderContrast(CategoryName())
    with pytest.raises(UserError, match="order_sigma"):
        OrderContrast(OptimalDescriptorSolver(), order_sigma=-1)
    with pytest.raises(UserError, match="weight is nan"):
        OrderContrast(OptimalDescriptorSolver(), weight=float("nan"))


def test_problems_that_have_not_converged_are_counted() -> None:
    matcher = OrderContrast(OptimalDescriptorSolver(max_iterations=2, tolerance=1e-9))
    matcher(F.normalize(torch.randn(2, 8, 32), dim=-1), *texts())
    counts = [matcher.unconverged() for _ in range(2)]
    assert [None if count is None else int(count) for count in counts] == [12, 0]
