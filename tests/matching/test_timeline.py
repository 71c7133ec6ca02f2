"""Smooth assignment of windows, compared with results of the authors' code for ASOT and with exact boundary costs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.timeline import TimelineProblem, _Descent, solve_timeline

VECTORS = load_file(Path(__file__).with_name("asot.safetensors"))
"""Two videos of 32 frames and 5 classes, radius 0.1 of the video, with results of the authors' code."""
RADIUS = 3.2


def released_step(costs: Tensor, problem: TimelineProblem) -> float:
    """The authors' step size: 4 over the largest entry of the first gradient, rows not centered."""
    first = _Descent(costs, problem, None).gradient(torch.full_like(costs, 1 / costs.numel()))
    return 4 / float(first.max())


@pytest.mark.parametrize(
    ("case", "epsilon", "smoothness", "class_prior", "steps"),
    [("actions_free", 0.07, 0.3, 0.05, 25), ("actions_free_1", 0.07, 0.3, 0.05, 1), ("decode", 0.04, 0.6, 0.01, 25)],
)
def test_assignments_agree_with_the_authors_code(
    case: str, epsilon: float, smoothness: float, class_prior: float, steps: int
) -> None:
    costs = VECTORS["in.cost"][0]
    problem = TimelineProblem(RADIUS, smoothness, epsilon, class_prior, steps)
    problem = TimelineProblem(RADIUS, smoothness, epsilon, class_prior, steps, released_step(costs, problem))
    found = solve_timeline(costs, problem).assignment
    torch.testing.assert_close(found, VECTORS[f"out.{case}.plan"][0], rtol=1e-5, atol=1e-5)


def test_an_order_prior_in_the_costs_agrees_with_the_authors_code() -> None:
    costs = VECTORS["in.cost"][0] + VECTORS["out.temporal_prior"]
    found = solve_timeline(costs, TimelineProblem(RADIUS, 0.3, 0.07, 0.05, 25, 3.0)).assignment
    torch.testing.assert_close(found, VECTORS["out.fixed_step.plan"][0], rtol=1e-5, atol=1e-5)


def random_costs(windows: int = 12, classes: int = 4, seed: int = 0) -> Tensor:
    return torch.rand((windows, classes), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("prior_classes", [None, torch.tensor([True, True, False, True])])
def test_the_gradient_is_that_of_the_objective(prior_classes: Tensor | None) -> None:
    descent = _Descent(random_costs(), TimelineProblem(2.5, 0.4, 0.1, 0.2), prior_classes)
    plan = random_costs(seed=1).softmax(1).div(12).requires_grad_()
    descent.objective(plan).backward()
    assert plan.grad is not None
    torch.testing.assert_close(plan.grad, descent.gradient(plan.detach()))


def test_the_objective_never_rises() -> None:
    objectives = solve_timeline(random_costs(60, 5), TimelineProblem(3, step_size=0.5)).objectives
    assert (objectives.diff() <= 1e-12).all()


def test_rows_sum_to_one_and_other_videos_do_not_matter() -> None:
    found = solve_timeline(random_costs(), TimelineProblem(3)).assignment
    torch.testing.assert_close(found.sum(1), torch.ones(12, dtype=torch.float64))


def test_without_smoothness_every_window_takes_its_cheapest_class() -> None:
    costs = random_costs(40, 6)
    found = solve_timeline(costs, TimelineProblem(1, smoothness=0, epsilon=1e-3, steps=200)).assignment
    assert torch.equal(found.argmax(1), costs.argmin(1))


@pytest.mark.parametrize("length", [1, 4, 6, 9])
@pytest.mark.parametrize(("share", "kept"), [(1.001, True), (0.999, False)])
def test_a_short_segment_is_worth_its_boundaries_above_a_known_advantage(length: int, share: float, kept: bool) -> None:
    windows, n, alpha = 60, 6, 0.4
    if length <= n:
        advantage = alpha * (2 * n - length + 1) / ((1 - alpha) * n)
    else:
        advantage = alpha * (n + 1) / (1 - alpha) / length
    costs = torch.zeros(windows, 2, dtype=torch.float64)
    costs[:, 1] = 3
    costs[20 : 20 + length] = torch.tensor([share * advantage, 0])
    without, with_segment = torch.zeros(2, windows, 2, dtype=torch.float64)
    without[:, 0] = with_segment[:, 0] = 1 / windows
    with_segment[20 : 20 + length] = torch.tensor([0, 1 / windows])
    descent = _Descent(costs, TimelineProblem(n, alpha), None)
    assert bool(descent.objective(with_segment) < descent.objective(without)) == kept


def test_the_radius_may_exceed_the_video() -> None:
    assert solve_timeline(random_costs(3), TimelineProblem(50)).assignment.shape == (3, 4)


@pytest.mark.parametrize(
    "settings",
    [{"radius": 0.5}, {"smoothness": 1.0}, {"epsilon": 0.0}, {"class_prior": -1.0}, {"steps": 0}, {"step_size": 0.0}],
)
def test_settings_out_of_range_are_rejected(settings: dict[str, float]) -> None:
    (name,) = settings
    with pytest.raises(UserError, match=f"TimelineProblem.{name} must be"):
        TimelineProblem(**{"radius": 2, **settings})  # type: ignore[arg-type]


def test_costs_that_are_not_finite_are_rejected() -> None:
    with pytest.raises(UserError, match="finite"):
        solve_timeline(torch.full((3, 2), torch.nan), TimelineProblem(1))
