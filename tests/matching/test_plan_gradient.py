"""Detached and implicit gradients against finite differences."""

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.matching import BALANCED, OptimalDescriptorSolver, TransportProblem, TransportWarning, transport_plan
from ost_lightning.matching.fixed_iterations import plan_after
from tests.matching.inputs import PROBLEMS, every_problem, random_cosines


def exactly(
    problems: Tensor, problem: TransportProblem, epsilon: float | Tensor = 0.1, implicit: bool = True
) -> Tensor:
    return transport_plan(
        problems,
        problem=problem,
        epsilon=epsilon,
        tolerance=1e-13,
        max_iterations=100_000,
        gradient="implicit" if implicit else "detach",
    )


@every_problem
@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 3, 5), (2, 1, 3), (2, 4, 1)])
def test_implicit_gradient_agrees_with_finite_differences(problem: TransportProblem, shape: tuple[int, ...]) -> None:
    problems = random_cosines(shape).requires_grad_()
    epsilon = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda cosine, value: exactly(cosine, problem, value), (problems, epsilon), atol=1e-5, rtol=1e-4, fast_mode=True
    )


@pytest.mark.parametrize("name", ["balanced", "order", "confident"])
def test_implicit_gradient_agrees_with_unrolled_iterations(name: str) -> None:
    problem, direction = PROBLEMS[name], torch.randn(3, 6, 4, dtype=torch.float64)
    gradients = []
    for plan_of in (exactly, lambda cosine, problem: plan_after(300, cosine, problem=problem, tolerance=1e-13)):
        leaf = random_cosines((3, 6, 4), seed=5).requires_grad_()
        (plan_of(leaf, problem) * direction).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-7)


@every_problem
def test_gradient_of_a_detached_plan_is_that_of_the_optimal_value(problem: TransportProblem) -> None:
    problem = replace(problem, frame_temperature=None)  # whose marginal would move with the cosines
    problems, direction = random_cosines((3, 6, 4), seed=1), torch.randn(3, 6, 4, dtype=torch.float64)

    def value(cosine: Tensor) -> Tensor:
        plan = exactly(cosine, problem, implicit=False)
        total = (plan * (1 - cosine)).sum() + 0.1 * (plan * plan.log()).sum()
        if problem.order_sigma is not None:
            distance = (torch.arange(6) + 0.5)[:, None] / 6 - (torch.arange(4) + 0.5) / 4
            total = total + 0.1 * (plan * distance**2).sum() / (2 * problem.order_sigma**2)
        if problem.descriptor_rho is not None:
            received = plan.sum(-2)
            total = total + problem.descriptor_rho * (received * (4 * received).log() - received).sum()
        return total

    finite = (value(problems + 1e-5 * direction) - value(problems - 1e-5 * direction)) / 2e-5
    detached = -(exactly(problems, problem, implicit=False) * direction).sum()
    torch.testing.assert_close(detached, finite, rtol=1e-6, atol=1e-9)


def test_only_the_implicit_gradient_is_exact_for_the_score() -> None:
    problems = random_cosines((3, 6, 4), seed=2)
    gradients = []
    for implicit in (False, True):
        leaf = problems.clone().requires_grad_()
        (exactly(leaf, BALANCED, implicit=implicit) * leaf).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    direction = torch.randn_like(problems)
    with torch.no_grad():
        up, down = (
            (exactly(moved, BALANCED) * moved).sum()
            for moved in (problems + 1e-5 * direction, problems - 1e-5 * direction)
        )
    torch.testing.assert_close((gradients[1] * direction).sum(), (up - down) / 2e-5, rtol=1e-6, atol=1e-8)
    assert float((gradients[0] - gradients[1]).abs().max()) > 1e-3


@every_problem
def test_degenerate_problems_have_finite_gradients(problem: TransportProblem) -> None:
    for problems in (
        torch.full((2, 6, 4), 0.3),
        random_cosines((2, 1, 4)).float().expand(2, 6, 4),
        random_cosines((2, 6, 4)).float(),
    ):
        for epsilon in (1e-3, 0.1, 10.0):
            leaf = problems.clone().requires_grad_()
            weight = torch.tensor(epsilon, requires_grad=True)
            with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
                warnings.simplefilter("ignore", TransportWarning)
                plan = transport_plan(leaf, problem=problem, epsilon=weight, gradient="implicit")
            (plan * leaf).sum().backward()
            for grad in (leaf.grad, weight.grad):
                assert grad is not None
                assert bool(torch.isfinite(grad).all())


def test_no_gradient_under_no_grad_or_detach() -> None:
    with torch.no_grad():
        assert not exactly(random_cosines((2, 6, 4)).requires_grad_(), BALANCED).requires_grad
    assert not exactly(random_cosines((2, 6, 4)).requires_grad_(), BALANCED, implicit=False).requires_grad


def test_a_learned_epsilon_decreases() -> None:
    def unit(*shape: int) -> Tensor:
        return normalize(torch.randn(*shape), dim=-1)

    embeddings = unit(6, 8, 16), unit(6, 4, 16), unit(6, 4, 16)
    solver = OptimalDescriptorSolver(max_iterations=1000, gradient="implicit", learn_epsilon=True, epsilon_rate=10.0)
    (parameter,) = solver.parameters()
    before = solver(*embeddings)
    assert isinstance(solver.epsilon, Tensor)
    assert float(solver.epsilon.detach()) == pytest.approx(0.1)
    # a larger score requires a sharper plan
    optimizer = torch.optim.Adam([parameter], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        (-solver(*embeddings).sum()).backward()
        optimizer.step()
    assert 0.05 < float(solver.epsilon.detach()) < 0.09
    assert bool(solver(*embeddings).sum() > before.sum())
    assert not OptimalDescriptorSolver().state_dict()
