import math
import warnings

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ost_lightning.matching import TransportWarning, solve_transport, transport_plan
from tests.matching.inputs import random_cosines

shapes = st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 8))


def cosines(shape: tuple[int, ...], seed: int = 0, low: float = -1.0, high: float = 1.0) -> Tensor:
    return random_cosines(shape, seed, low, high, torch.float32)


def reference(problem: Tensor, epsilon: float) -> np.ndarray:
    """Solves with POT's log-domain solver, run to convergence in double precision."""
    frames, descriptors = problem.shape
    rows, columns = np.full(frames, 1 / frames), np.full(descriptors, 1 / descriptors)
    cost = 1 - problem.double().numpy()
    return ot.bregman.sinkhorn_log(rows, columns, cost, epsilon, stopThr=1e-13, numItermax=200_000)


@settings(max_examples=40)
@given(shape=shapes, seed=st.integers(0, 999), epsilon=st.floats(0.1, 5))
def test_plans_have_the_marginals(shape: tuple[int, int, int], seed: int, epsilon: float) -> None:
    # the last change is at most 1e-9, and at this spread of costs the remaining error is at most 40 times as large
    problems = cosines(shape, seed, 0.0, 0.5).double()
    plan = transport_plan(problems, epsilon=epsilon, tolerance=1e-9, max_iterations=20_000)
    assert bool((plan >= 0).all())
    rows, columns = plan.new_full(shape[:2], 1 / shape[1]), plan.new_full((shape[0], shape[2]), 1 / shape[2])
    torch.testing.assert_close(plan.sum(-1), rows, atol=1e-6, rtol=0)
    torch.testing.assert_close(plan.sum(-2), columns, atol=1e-6, rtol=0)


@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.1, 1.0, 10.0])
def test_agrees_with_pot(epsilon: float) -> None:
    problems = cosines((8, 16, 4), 1, 0.0, 0.5)
    plans = transport_plan(problems, epsilon=epsilon, tolerance=1e-6, max_iterations=50_000)
    for problem, plan in zip(problems, plans, strict=True):
        np.testing.assert_allclose(plan.numpy(), reference(problem, epsilon), atol=1e-5 / 64)


def test_double_precision_in_double_precision_out() -> None:
    problem = cosines((1, 8, 4)).double()
    plan = transport_plan(problem, tolerance=1e-12, max_iterations=10_000)
    assert plan.dtype == torch.float64
    np.testing.assert_allclose(plan[0].numpy(), reference(problem[0], 0.1), atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.999, 1.0), (0.2, 0.25), (-1e-3, 1e-3), (90.0, 91.0), (-1.0, 1.0)])
def test_agrees_with_pot_at_any_scale_of_cosines(low: float, high: float) -> None:
    problems = cosines((4, 8, 4), 2, low, high)
    plans = transport_plan(problems, tolerance=1e-6, max_iterations=50_000)
    for problem, plan in zip(problems, plans, strict=True):
        np.testing.assert_allclose(plan.numpy(), reference(problem, 0.1), atol=1e-5 / 32)


def test_adding_a_constant_changes_nothing() -> None:
    problems = cosines((4, 8, 4), 3)
    torch.testing.assert_close(
        transport_plan(problems, tolerance=1e-6, max_iterations=10_000),
        transport_plan(problems - 5, tolerance=1e-6, max_iterations=10_000),
        atol=1e-6,
        rtol=1e-4,
    )


@settings(max_examples=25)
@given(shape=shapes, seed=st.integers(0, 999), hard=st.booleans())
def test_a_plan_does_not_depend_on_the_rest_of_its_batch(shape: tuple[int, int, int], seed: int, hard: bool) -> None:
    problems = cosines(shape, seed)
    if hard:
        problems[0] *= 20  # this one converges slowly, and is solved in the log domain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransportWarning)
        together = transport_plan(problems)
        alone = torch.stack([transport_plan(problem) for problem in problems])
    assert torch.equal(together, alone)


def test_leading_dimensions_are_batch_dimensions() -> None:
    problems = cosines((3, 5, 8, 4), 4, 0.0, 0.5)
    torch.testing.assert_close(transport_plan(problems).flatten(0, 1), transport_plan(problems.flatten(0, 1)))
    solution = solve_transport(problems)
    assert [tuple(part.shape) for part in (solution.log_u, solution.log_v, solution.converged)] == [
        (3, 5, 8),
        (3, 5, 4),
        (3, 5),
    ]
    assert transport_plan(torch.zeros((0, 3, 8, 4))).shape == (0, 3, 8, 4)


def test_permuted_cosines_give_permuted_plans() -> None:
    problems = cosines((3, 8, 4), 5)
    frames, descriptors = torch.randperm(8), torch.randperm(4)
    plan = transport_plan(problems, tolerance=1e-6, max_iterations=10_000)
    permuted = transport_plan(problems[:, frames][:, :, descriptors], tolerance=1e-6, max_iterations=10_000)
    torch.testing.assert_close(permuted, plan[:, frames][:, :, descriptors], atol=1e-6, rtol=1e-4)


def test_equal_cosines_and_single_rows_and_columns() -> None:
    torch.testing.assert_close(transport_plan(torch.full((2, 8, 4), 0.3)), torch.full((2, 8, 4), 1 / 32))
    torch.testing.assert_close(transport_plan(cosines((2, 1, 4))), torch.full((2, 1, 4), 1 / 4))
    torch.testing.assert_close(transport_plan(cosines((2, 8, 1))), torch.full((2, 8, 1), 1 / 8))
    assert transport_plan(cosines((8, 4))).shape == (8, 4)


def test_full_precision_under_autocast() -> None:
    problems = cosines((2, 8, 4), 6)
    with torch.autocast("cpu", torch.bfloat16):
        plan = transport_plan(problems)
    assert plan.dtype == torch.float32
    assert torch.equal(plan, transport_plan(problems))


def test_the_default_plan_has_no_gradient() -> None:
    assert not transport_plan(cosines((8, 4)).requires_grad_()).requires_grad


def test_default_tolerance_is_tight_enough_for_scores() -> None:
    problems = cosines((50, 32, 4), 8, 0.1, 0.4)
    loose, exact = transport_plan(problems), transport_plan(problems, tolerance=1e-6, max_iterations=10_000)
    assert float(((loose - exact) * problems).sum((-1, -2)).abs().max()) < 1e-5


def test_non_convergence_is_reported_with_the_settings_to_change() -> None:
    problems = cosines((5, 8, 4), 9)
    with pytest.warns(
        TransportWarning,
        match=r"5 of 5 .* after 1 iterations: raise max_iterations, epsilon \(0.2\) or tolerance \(0.3\)",
    ) as warnings_raised:
        transport_plan(problems, max_iterations=1, epsilon=torch.tensor(0.2), tolerance=0.3)
    assert warnings_raised[0].filename == __file__
    solution = solve_transport(torch.stack([problems[0] * 100, problems[1] / 100]))
    assert solution.converged.tolist() == [False, True]


def test_converged_plans_have_the_marginals() -> None:
    # tiny epsilon: many iterations with small changes, which must not count as convergence
    problems = cosines((6, 8, 4), 10) * 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransportWarning)
        solution = solve_transport(problems, epsilon=0.01, max_iterations=3000, tolerance=1e-4)
    error = (solution.plan.sum(-1) - 1 / 8).abs().sum(-1)
    assert bool((error[solution.converged] < 1e-3).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_input_that_is_not_finite_is_rejected(bad: float) -> None:
    problems = cosines((2, 8, 4))
    problems[1, 3, 2] = bad
    with pytest.raises(ValueError, match="1 of 64 cosines are not finite"):
        transport_plan(problems)


def test_finite_input_whose_sum_is_not_is_accepted() -> None:
    torch.testing.assert_close(transport_plan(torch.full((2, 2), 3e38)), torch.full((2, 2), 0.25))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": math.inf}, "epsilon"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"tolerance": 0.0}, "tolerance"),
    ],
)
def test_settings_out_of_range_are_rejected(settings_: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transport_plan(cosines((8, 4)), **settings_)
    for shape in ((8,), (2, 0, 4), (2, 8, 0)):
        with pytest.raises(ValueError, match="T, N >= 1"):
            transport_plan(torch.zeros(shape))


@pytest.mark.gpu
def test_gpu_plans_agree_with_a_cpu_without_synchronization() -> None:
    problems = cosines((64, 32, 4), 11, 0.0, 0.5)
    on_device = problems.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        solution = solve_transport(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(solution.plan.cpu(), transport_plan(problems), atol=1e-6, rtol=1e-4)
    assert bool(solution.converged.all())
