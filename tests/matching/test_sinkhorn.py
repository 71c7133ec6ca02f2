"""Sinkhorn's iterations and their stopping rule, in both domains, against Eq. 5 in NumPy."""

from collections.abc import Callable, Iterator

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from ost_lightning.matching import TransportProblem, solve_transport
from ost_lightning.matching.scaling_domains import KernelDomain, LogDomain, LogKernel, log_kernel
from ost_lightning.matching.sinkhorn import solve_in_kernel_domain, solve_in_log_domain, solve_with_tensors
from ost_lightning.matching.sinkhorn_problem import LogSums, Marginals, SinkhornProblem, SinkhornResult, has_stopped
from tests.matching.inputs import every_problem, random_cosines

Solver = Callable[[SinkhornProblem, LogKernel], SinkhornResult]
both_domains = pytest.mark.parametrize("solve", [solve_in_kernel_domain, solve_in_log_domain])
MARGINALS = {"balanced": Marginals(), "relaxed": Marginals(epsilon_over_rho=0.4), "partial": Marginals(mass=0.9)}
every_marginal = pytest.mark.parametrize("marginals", MARGINALS.values(), ids=MARGINALS.keys())
EPS = torch.finfo(torch.float32).eps


def reference_iterations(
    cosines: np.ndarray, marginals: Marginals, epsilon: float = 0.1
) -> Iterator[tuple[np.ndarray, float]]:
    """Yields the plan and the change that is compared with the tolerance, after each iteration."""
    frames, descriptors = cosines.shape
    kernel = np.exp((cosines - 1) / epsilon)
    a, b = np.ones(frames), np.ones(descriptors)
    bound = np.inf if marginals.mass is None else marginals.mass / kernel.sum()
    while True:
        before = np.concatenate([a, b])
        a = np.minimum(1 / (frames * (kernel @ b)), bound)
        b = 1 / (descriptors * (kernel.T @ a))
        last = a
        if marginals.epsilon_over_rho is not None:
            b **= 1 / (1 + marginals.epsilon_over_rho)
            b *= np.mean(b**-marginals.epsilon_over_rho) ** (1 / marginals.epsilon_over_rho)
            last = 1 / (frames * (kernel @ b))
        if marginals.mass is not None:
            b = np.minimum(b, 1)
            growth = marginals.mass / (a @ kernel @ b)
            a, bound, last = a * growth, bound * growth, a * growth
        change = np.abs(before / np.concatenate([a, b]) - 1)
        weights = np.clip(a, 1, 100)
        yield (
            last[:, None] * kernel * b,
            100 * change.sum() if marginals.mass is not None else weights @ change[:frames],
        )


def problems_last(cosines: Tensor) -> Tensor:
    return cosines.movedim(0, -1)


@both_domains
@every_marginal
@pytest.mark.parametrize("low", [0.95, 0.5, 0.0], ids=["a below 1", "a from 1 to 100", "a above 100"])
def test_iterations_stop_when_the_scalings_change_by_less_than_the_tolerance(
    solve: Solver, marginals: Marginals, low: float
) -> None:
    cosines = random_cosines((1, 5, 3), 1, low, low + 0.3)
    cosines[0, 0] += 0.1  # rows have different weights
    steps = reference_iterations(cosines[0].numpy(), marginals)
    changes = []
    for iteration in range(1, 5):
        plan, change = next(steps)
        if iteration == 1:
            continue  # there is no previous iteration to compare with
        changes.append(change)
        if change != min(changes):
            continue

        def solved(tolerance: float, iterations: int) -> SinkhornResult:
            problem = SinkhornProblem(0.1, None, marginals, iterations, tolerance)
            return solve(problem, log_kernel(problem, problems_last(cosines)))

        result = solved(change * (1 + 1e-6), 50)
        assert bool(result.converged)
        np.testing.assert_allclose(result.plan[..., 0].numpy(), plan, rtol=1e-9)
        assert not bool(solved(change * (1 - 1e-6), iteration).converged)
        assert not bool(solved(change * (1 + 1e-6), iteration - 1).converged)
    assert len(changes) == 3


@both_domains
def test_stopped_problems_no_longer_change(solve: Solver) -> None:
    early = random_cosines((1, 5, 3), 46, 0.0, 0.9)
    steps = reference_iterations(early[0].numpy(), Marginals())
    (_, _), (plan, change), (_, later) = (next(steps) for _ in range(3))
    assert change < later  # the change of the next iteration would be above the tolerance
    problem = SinkhornProblem(0.1, None, Marginals(), 4, (change + later) / 2)
    late = early - 0.5  # larger scalings, whose changes have more weight
    result = solve(problem, log_kernel(problem, problems_last(torch.cat([early, late]))))
    assert result.converged.tolist() == [True, False]
    np.testing.assert_allclose(result.plan[..., 0].numpy(), plan, rtol=1e-9)


@both_domains
@every_marginal
def test_no_problem_stops_at_the_first_iteration(solve: Solver, marginals: Marginals) -> None:
    cosines = problems_last(random_cosines((3, 5, 3), 1))
    for iterations, converged in ((1, False), (2, True)):
        problem = SinkhornProblem(0.1, None, marginals, iterations, 1e9)
        assert solve(problem, log_kernel(problem, cosines)).converged.tolist() == [converged] * 3


def test_inputs_cover_all_ranges_of_the_stopping_rule() -> None:
    scalings = []
    for low in (0.95, 0.5, 0.0):
        cosines = random_cosines((1, 5, 3), 1, low, low + 0.3)
        problem = SinkhornProblem()
        result = solve_with_tensors(problem, problems_last(cosines))
        scalings.append((float(result.log_u.exp().amin()), float(result.log_u.exp().amax())))
    assert scalings[0][0] < 1
    assert any(low < 100 and high > 1 for low, high in scalings)
    assert scalings[2][1] > 100


def test_weighted_changes_are_compared_with_the_tolerance() -> None:
    relative = torch.tensor([[0.01, 0.02, 0.03], [0.0, 0.005, 0.01]])
    assert has_stopped(relative, 1.0, EPS, 0.03).tolist() == [True, True, False]  # sums: 0.01, 0.025, 0.04
    assert has_stopped(relative, 2.0, EPS, 0.03).tolist() == [True, False, False]
    weights = torch.tensor([[1.0, 1.0, 0.5], [1.0, 9.0, 1.0]])
    assert has_stopped(relative, weights, EPS, 0.03).tolist() == [True, False, True]  # 0.01, 0.065, 0.025


def test_four_units_of_rounding_count_as_no_change() -> None:
    relative = EPS * torch.tensor([[4.0, 4.0, 5.0, 8.0], [4.0, 4.5, 0.0, 4.0]])
    assert has_stopped(relative, 100.0, EPS, 1e-9).tolist() == [True, False, False, False]
    resolution = EPS * torch.tensor([1.0, 2.0, 1.0, 2.0])  # larger logarithms have larger rounding errors
    assert has_stopped(relative, 100.0, resolution, 1e-9).tolist() == [True, True, False, True]
    # 800 units in the weighted sum are 9.5e-5
    assert has_stopped(relative[:, :2], 100.0, EPS, 5e-5).tolist() == [True, False]
    assert has_stopped(relative[:, :2], 100.0, EPS, 9.7e-5).tolist() == [True, False]
    # a tolerance far above rounding is sufficient by itself
    assert has_stopped(relative, 100.0, EPS, 2e-3).tolist() == [True, True, True, True]
    assert has_stopped(torch.full((2, 1), torch.nan), 1.0, EPS, 1e-9).tolist() == [False]
    assert has_stopped(torch.full((2, 1), torch.nan), 1.0, EPS, 1.0).tolist() == [False]


def test_resolution_of_logarithms_grows_with_their_magnitude() -> None:
    kernel = LogKernel(torch.zeros(2, 3, 3), torch.zeros(3))
    log_u = torch.tensor([[0.1, -50.0, 2.0], [0.2, 3.0, 7.0]])
    torch.testing.assert_close(LogDomain(kernel).resolution(log_u) / EPS, torch.tensor([1.0, 50.0, 7.0]))
    assert KernelDomain(kernel).resolution(log_u) == EPS


@both_domains
@every_marginal
def test_a_tolerance_below_rounding_is_reached(solve: Solver, marginals: Marginals) -> None:
    cosines = random_cosines((64, 8, 4), 2, 0.0, 0.3, torch.float32)
    problem = SinkhornProblem(0.2, None, marginals, 1000, 1e-12)
    assert bool(solve(problem, log_kernel(problem, problems_last(cosines))).converged.all())


@both_domains
@pytest.mark.parametrize("iterations", [1, 2, 100])
def test_guaranteed_sums_of_plans_that_stopped_early(solve: Solver, iterations: int) -> None:
    cosines = problems_last(random_cosines((20, 8, 4), 3, 0.0, 0.5, torch.float32))

    def plan(**marginals: float) -> Tensor:
        problem = SinkhornProblem(0.1, None, Marginals(**marginals), iterations)
        return solve(problem, log_kernel(problem, cosines)).plan

    torch.testing.assert_close(plan(epsilon_over_rho=0.4).sum(1), torch.full((8, 20), 1 / 8), atol=1e-6, rtol=0)
    torch.testing.assert_close(plan(mass=0.6).sum((0, 1)), torch.full((20,), 0.6), atol=1e-6, rtol=0)
    torch.testing.assert_close(plan().sum(0), torch.full((4, 20), 1 / 4), atol=1e-6, rtol=0)
    assert float((plan().sum(1) - 1 / 8).abs().max()) > 1e-6  # row sums are only approximate


@pytest.mark.parametrize("scale", [1.0, 100.0], ids=["kernel domain", "log domain"])
@pytest.mark.parametrize("rho", [0.05, 0.3, 3.0])
def test_rows_of_relaxed_plans_are_exact_at_the_default_tolerance(scale: float, rho: float) -> None:
    cosines = random_cosines((50, 8, 4), 4, 0.0, 0.5, torch.float32) * scale
    solution = solve_transport(cosines, problem=TransportProblem(descriptor_rho=rho * scale))
    torch.testing.assert_close(solution.plan.sum(-1), torch.full((50, 8), 1 / 8), atol=1e-6, rtol=0)


@every_marginal
def test_both_domains_agree(marginals: Marginals) -> None:
    cosines = random_cosines((6, 8, 4), 7, -1.0, 1.0, torch.float32)
    problem = SinkhornProblem(0.1, None, marginals, 10_000, 1e-6)
    scaled, logarithmic = (
        solve(problem, log_kernel(problem, problems_last(cosines)))
        for solve in (solve_in_kernel_domain, solve_in_log_domain)
    )
    torch.testing.assert_close(scaled.plan, logarithmic.plan, atol=1e-6, rtol=1e-4)
    assert torch.equal(scaled.slack_rows, logarithmic.slack_rows)
    assert torch.equal(scaled.slack_columns, logarithmic.slack_columns)
    partial = marginals.mass is not None
    assert bool(scaled.slack_rows.any()) == bool(scaled.slack_columns.any()) == partial


@every_problem
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["kernel domain", "log domain"])
def test_plans_follow_from_their_potentials(problem: TransportProblem, scale: float) -> None:
    cosines = random_cosines((2, 3, 8, 4), 8, -0.9, 0.9) * scale
    solution = solve_transport(cosines, problem=problem, max_iterations=5)
    logarithm = solution.log_u[..., None] + (cosines - 1) / 0.1 + solution.log_v[..., None, :]
    if problem.order_sigma is not None:
        distance = (torch.arange(8).double() + 0.5)[:, None] / 8 - (torch.arange(4) + 0.5) / 4
        logarithm = logarithm - distance**2 / (2 * problem.order_sigma**2)
    torch.testing.assert_close(solution.plan, logarithm.exp())


@pytest.mark.parametrize("solve", [solve_in_kernel_domain, solve_in_log_domain, None])
@pytest.mark.parametrize("rho", [None, 0.3])
@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
def test_sums_that_are_not_uniform_agree_with_pot(solve: Solver | None, rho: float | None) -> None:
    cosines = problems_last(random_cosines((3, 6, 4), 14))
    rows, columns = (random_cosines((size, 3), seed).softmax(0) for seed, size in ((1, 6), (2, 4)))
    sums = LogSums(rows.log(), columns.log())
    marginals = Marginals(None if rho is None else 0.1 / rho)
    problem = SinkhornProblem(0.1, None, marginals, 100_000, 1e-12)
    if solve is None:
        plans = solve_with_tensors(problem, cosines, sums).plan
    else:
        plans = solve(problem, log_kernel(problem, cosines, sums)).plan
    for index in range(3):
        given = rows[:, index].numpy(), columns[:, index].numpy(), 1 - cosines[..., index].numpy(), 0.1
        if rho is None:
            expected = ot.bregman.sinkhorn_log(*given, stopThr=1e-14, numItermax=200_000)
        else:
            penalties = (float("inf"), rho)
            expected = ot.unbalanced.sinkhorn_unbalanced(
                *given, penalties, reg_type="entropy", stopThr=1e-14, numItermax=200_000
            )
        np.testing.assert_allclose(plans[..., index].numpy(), expected, atol=1e-10)


def test_slack_marks_sums_below_their_bounds() -> None:
    cosines = problems_last(random_cosines((6, 8, 4), 9))
    result = solve_with_tensors(SinkhornProblem(0.1, None, Marginals(mass=0.6), 100_000, 1e-12), cosines)
    assert torch.equal(result.slack_rows, result.plan.sum(1) < 1 / 8 - 1e-9)
    assert torch.equal(result.slack_columns, result.plan.sum(0) < 1 / 4 - 1e-9)


def test_problems_in_several_chunks_are_solved_independently() -> None:
    cosines = problems_last(random_cosines((130, 64, 32), 10, 0.0, 0.5, torch.float32))
    cosines[..., 77] *= 40  # in the log domain
    problem = SinkhornProblem(max_iterations=20)
    together = solve_with_tensors(problem, cosines)  # 64 problems per chunk
    for index in (0, 63, 64, 77, 128, 129):
        alone = solve_with_tensors(problem, cosines[..., [index]])
        for all_problems, part in zip(together, alone, strict=True):
            assert torch.equal(all_problems[..., [index]], part)


def test_large_logarithms_are_solved_in_double_precision() -> None:
    cosines = problems_last(random_cosines((20, 8, 4), 11, -20.0, 20.0, torch.float32))
    problem = SinkhornProblem(max_iterations=30)
    kernel = log_kernel(problem, cosines)
    exact = solve_in_log_domain(problem, LogKernel(kernel.values.double(), kernel.offset.double())).plan.float()
    assert torch.equal(solve_with_tensors(problem, cosines).plan, exact)
    assert not torch.allclose(solve_in_log_domain(problem, kernel).plan, exact, atol=0, rtol=1e-6)


def test_cosines_are_not_modified() -> None:
    cosines = random_cosines((64, 8, 4), 12, dtype=torch.float32)
    argument = problems_last(cosines).contiguous()
    solve_with_tensors(SinkhornProblem(), argument)
    assert torch.equal(argument, problems_last(cosines))
