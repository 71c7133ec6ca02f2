"""Transport problems beyond the balanced one: with an order, a relaxed marginal, or partial mass."""

import warnings
from collections.abc import Callable

import numpy as np
import ot
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching import BALANCED, TransportProblem, TransportWarning, solve_transport, transport_plan
from tests.matching.inputs import every_problem, random_cosines

shapes = st.tuples(st.integers(1, 4), st.integers(1, 10), st.integers(1, 6))


def exactly(problems: Tensor, problem: TransportProblem, epsilon: float = 0.1) -> Tensor:
    return transport_plan(problems, problem=problem, epsilon=epsilon, tolerance=1e-12, max_iterations=200_000)


def reference(cosine: Tensor, problem: TransportProblem, epsilon: float) -> np.ndarray:
    """Solves with POT's solvers, run to convergence in double precision; a prior becomes a cost."""
    frames, descriptors = cosine.shape
    rows, columns = np.full(frames, 1 / frames), np.full(descriptors, 1 / descriptors)
    if problem.frame_temperature is not None:
        rows = scipy.special.softmax(cosine.numpy().max(1) / problem.frame_temperature)
    cost = 1 - cosine.numpy()
    if problem.order_sigma is not None:
        distance = (np.arange(frames) + 0.5)[:, None] / frames - (np.arange(descriptors) + 0.5) / descriptors
        cost = cost + epsilon * distance**2 / (2 * problem.order_sigma**2)
    if problem.descriptor_rho is not None:
        penalties = (float("inf"), problem.descriptor_rho)
        return ot.unbalanced.sinkhorn_unbalanced(
            rows, columns, cost, epsilon, penalties, reg_type="kl", stopThr=1e-14, numItermax=200_000
        )
    if problem.mass < 1:
        return ot.partial.entropic_partial_wasserstein(
            rows, columns, cost, epsilon, problem.mass, stopThr=1e-14, numItermax=200_000
        )
    return ot.bregman.sinkhorn_log(rows, columns, cost, epsilon, stopThr=1e-14, numItermax=200_000)


@every_problem
@pytest.mark.parametrize("epsilon", [0.05, 0.1, 1.0])
def test_agrees_with_pot(problem: TransportProblem, epsilon: float) -> None:
    problems = random_cosines((4, 12, 4), 1)
    for cosine, plan in zip(problems, exactly(problems, problem, epsilon), strict=True):
        np.testing.assert_allclose(plan.numpy(), reference(cosine, problem, epsilon), atol=1e-10)


@every_problem
@settings(max_examples=15)
@given(shape=shapes, seed=st.integers(0, 999), epsilon=st.floats(0.05, 5))
def test_plans_have_the_marginals(
    problem: TransportProblem, shape: tuple[int, int, int], seed: int, epsilon: float
) -> None:
    problems = random_cosines(shape, seed)
    plan = exactly(problems, problem, epsilon)
    rows, columns = plan.sum(-1), plan.sum(-2)
    expected = torch.full_like(rows, 1 / shape[1])
    if problem.frame_temperature is not None:
        expected = (problems.amax(-1) / problem.frame_temperature).softmax(-1)
    assert bool((plan >= 0).all())
    if problem.mass < 1:
        torch.testing.assert_close(plan.sum((-1, -2)), torch.full_like(plan[:, 0, 0], problem.mass), atol=1e-6, rtol=0)
        assert bool((rows < expected + 1e-6).all())
        assert float(columns.max()) < 1 / shape[2] + 1e-6
        return
    torch.testing.assert_close(rows, expected, atol=1e-6, rtol=0)
    if problem.descriptor_rho is None:
        torch.testing.assert_close(columns, torch.full_like(columns, 1 / shape[2]), atol=1e-6, rtol=0)


@every_problem
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_default_tolerance_is_tight_enough_for_scores(problem: TransportProblem, scale: float) -> None:
    problems = random_cosines((50, 16, 4), 2, 0.1, 0.4).float() * scale
    options = {"problem": problem, "epsilon": 0.1 * scale}
    loose = transport_plan(problems, **options, max_iterations=400)
    exact = transport_plan(problems, **options, tolerance=1e-7, max_iterations=20_000)
    assert float(((loose - exact) * problems).sum((-1, -2)).abs().max()) < 2e-4 * scale


@every_problem
@settings(max_examples=10)
@given(shape=shapes, seed=st.integers(0, 999), hard=st.booleans())
def test_a_plan_does_not_depend_on_the_rest_of_its_batch(
    problem: TransportProblem, shape: tuple[int, int, int], seed: int, hard: bool
) -> None:
    problems = random_cosines(shape, seed).float()
    if hard:
        problems[0] *= 30  # this one is solved in the log domain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransportWarning)
        together = transport_plan(problems, problem=problem)
        alone = torch.stack([transport_plan(one, problem=problem) for one in problems])
    assert torch.equal(together, alone)


@every_problem
def test_permuted_and_reversed_cosines(problem: TransportProblem) -> None:
    problems = random_cosines((3, 8, 4), 5)
    frames, descriptors = torch.randperm(8), torch.randperm(4)
    plan = exactly(problems, problem)
    permuted = exactly(problems[:, frames][:, :, descriptors], problem)
    if problem.order_sigma is None:
        torch.testing.assert_close(permuted, plan[:, frames][:, :, descriptors])
    else:
        assert not torch.allclose(permuted, plan[:, frames][:, :, descriptors], atol=1e-3)
    reversed_in_time = exactly(problems.flip(1, 2), problem)  # an order is symmetric in time
    torch.testing.assert_close(reversed_in_time, plan.flip(1, 2))


@every_problem
@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 0.1, 10.0])
@pytest.mark.parametrize(
    "problems",
    [
        torch.full((2, 8, 4), 0.3),
        random_cosines((2, 1, 4)).float().expand(2, 8, 4),  # identical frames
        random_cosines((2, 8, 1)).float().expand(2, 8, 4),  # identical descriptors
        random_cosines((2, 1, 4)).float(),
        random_cosines((2, 8, 1)).float(),
        random_cosines((2, 8, 4)).float() - 0.9,
    ],
    ids=["equal cosines", "identical frames", "identical descriptors", "one frame", "one descriptor", "negative"],
)
def test_degenerate_input_gives_valid_plans(problem: TransportProblem, epsilon: float, problems: Tensor) -> None:
    options = {"problem": problem, "epsilon": epsilon}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransportWarning)
        plan = transport_plan(problems, **options)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(transport_plan(problems, **options), plan)
            rounded = transport_plan(problems.bfloat16(), **options)
    for each in (plan, rounded):
        assert each.dtype == torch.float32
        assert bool(torch.isfinite(each).all())
        assert bool((each >= 0).all())
        torch.testing.assert_close(each.sum((-1, -2)), torch.full((2,), problem.mass), atol=1e-3, rtol=0)


def test_weak_options_approach_the_balanced_problem() -> None:
    problems = random_cosines((5, 8, 4), 6)
    balanced = exactly(problems, BALANCED)
    for problem in (
        TransportProblem(order_sigma=1e4),
        TransportProblem(descriptor_rho=1e5),
        TransportProblem(mass=1.0),
        TransportProblem(frame_temperature=1e7),
    ):
        torch.testing.assert_close(exactly(problems, problem), balanced, atol=1e-6, rtol=0)


def test_without_the_descriptors_marginal_a_plan_is_a_softmax() -> None:
    problems = random_cosines((5, 8, 4), 7)
    plan = exactly(problems, TransportProblem(descriptor_rho=1e-7))
    torch.testing.assert_close(plan, (problems / 0.1).softmax(-1) / 8, atol=1e-5, rtol=0)


@settings(max_examples=20)
@given(rho=st.floats(0.01, 1e4), seed=st.integers(0, 999))
def test_any_penalty_converges(rho: float, seed: int) -> None:
    problems = random_cosines((10, 8, 4), seed).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error", TransportWarning)
        transport_plan(problems, problem=TransportProblem(descriptor_rho=rho), max_iterations=40)


def test_order_sends_early_frames_to_early_steps() -> None:
    plan = exactly(torch.zeros((1, 8, 4), dtype=torch.float64), TransportProblem(order_sigma=0.15))[0]
    assert plan.argmax(-1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    sharper = exactly(torch.zeros((1, 8, 4), dtype=torch.float64), TransportProblem(order_sigma=0.1))[0]
    assert float(sharper[0, 0]) > float(plan[0, 0])


def test_descriptors_without_a_match_receive_less_mass() -> None:
    problems = random_cosines((20, 8, 4), 8, 0.3, 0.6)
    problems[..., 3] = 0.0  # a hallucinated descriptor
    for problem in (TransportProblem(descriptor_rho=0.05), TransportProblem(mass=0.7)):
        received = exactly(problems, problem).sum(-2) / problem.mass
        assert bool((received[:, 3] < 0.6 * received[:, :3].amin(-1)).all())


def test_frames_that_fit_no_descriptor_carry_less_mass() -> None:
    problems = random_cosines((20, 8, 4), 9, 0.3, 0.6)
    problems[:, 5] = 0.0  # a foreign frame
    carried = exactly(problems, TransportProblem(frame_temperature=0.1)).sum(-1)
    assert bool((carried[:, 5] < 0.1 * carried.mean(1)).all())
    # a temperature near 0 leaves the best frame alone
    best = problems.amax(-1).argmax(-1)
    problems[torch.arange(20), best] += 0.1
    alone = exactly(problems, TransportProblem(frame_temperature=1e-4)).sum(-1)
    assert float(alone.gather(1, best[:, None]).amin()) > 1 - 1e-9


def test_the_default_problem_is_balanced() -> None:
    problems = random_cosines((5, 8, 4), 9)
    assert torch.equal(transport_plan(problems), transport_plan(problems, problem=TransportProblem()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransportProblem(order_sigma=0.0), "order_sigma must be a positive number"),
        (lambda: TransportProblem(descriptor_rho=-1.0), "descriptor_rho must be a positive number"),
        (lambda: TransportProblem(descriptor_rho=float("nan")), "not nan"),
        (lambda: TransportProblem(frame_temperature=0.0), "frame_temperature must be a positive number"),
        (lambda: TransportProblem(mass=0.0), "above 0 and at most 1, not 0.0"),
        (lambda: TransportProblem(mass=1.2), "above 0 and at most 1, not 1.2"),
        (lambda: TransportProblem(mass=0.5, descriptor_rho=1.0), "either partial or has a relaxed marginal"),
    ],
)
def test_settings_out_of_range_are_rejected(make: Callable[[], TransportProblem], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.gpu
@every_problem
def test_gpu_plans_agree_with_a_cpu_without_synchronization(problem: TransportProblem) -> None:
    problems = random_cosines((64, 32, 4), 11, 0.0, 0.5).float()
    on_device = problems.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        solution = solve_transport(on_device, problem=problem)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(solution.plan.cpu(), transport_plan(problems, problem=problem), atol=1e-6, rtol=1e-4)
