"""The OD Solver with a fixed number of iterations, which can be traced to a graph.

The solver of `transport_plan` stops as soon as all problems have, which depends on the data. Here every problem takes
the same number of steps, and one that has stopped keeps its scalings. The plans are the same if all stop in time.
"""

import math
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.matchers import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    PooledDescriptors,
    SoftmaxMatching,
)
from ost_lightning.matching.od_solver import OptimalDescriptorSolver
from ost_lightning.matching.sinkhorn_problem import ABSOLUTE_RANGE
from ost_lightning.matching.transport_problem import BALANCED, TransportProblem

_TRACEABLE: Final = (CategoryName, PooledDescriptors, MaxSimilarity, SoftmaxMatching)
"""Matchers without control flow that depends on the data."""
ITERATIONS: Final = 40
"""Default number of iterations in a graph; with the tiny CLIP and the default settings, 16 to 30 were needed."""


def plan_after(
    iterations: int,
    cosines: Tensor,
    *,
    problem: TransportProblem = BALANCED,
    epsilon: float = 0.1,
    tolerance: float = 1e-2,
) -> Tensor:
    """Returns the plan of `transport_plan` by a fixed number of operations, in the log domain.

    Args:
        iterations: Number of iterations, at least 1; `transport_plan`'s `max_iterations`.
        cosines: Cosines between frames and descriptors, fp32 (..., T, N).
        problem: Problem with exact marginals, with or without an order.
        epsilon: Weight of the entropy, > 0.
        tolerance: Upper bound on the change at which a problem stops; see `transport_plan`.

    Returns:
        Plan, (..., T, N).

    Raises:
        UserError: If the plan is partial or has a relaxed marginal.

    Examples:
        >>> plan_after(40, torch.tensor([[0.5, 0.1], [0.2, 0.4]]))
        tensor([[0.4763, 0.0237],
                [0.0237, 0.4763]])
    """
    if problem.mass < 1 or problem.descriptor_rho is not None:
        setting = "mass" if problem.mass < 1 else "descriptor_rho"
        raise UserError(
            f"A transport problem with {setting} can't be written as a graph: only exact marginals can, with or "
            f"without order_sigma and frame_temperature. Unset {setting}, or use another matcher."
        )
    largest = cosines.amax((-2, -1), keepdim=True)
    kernel = (cosines - largest) / epsilon
    prior = problem.as_sinkhorn(cosines, epsilon, iterations, tolerance).log_prior
    if prior is not None:
        kernel = kernel + prior
    # counted by an operation, since the number of frames may differ between calls of a graph
    log_frames = torch.ones_like(cosines).sum(-2, keepdim=True).log()
    log_rows = problem.log_frame_marginal(cosines)
    for_rows = kernel + log_frames if log_rows is None else kernel - log_rows[..., None]
    for_columns = kernel + math.log(cosines.shape[-1])
    offset = (1 - largest) / epsilon
    # u and v are the negative logarithms of the scalings, with which a step is one difference and one sum
    v = torch.zeros_like(log_frames)
    u = (for_rows - v).logsumexp(-1, keepdim=True)
    v = (for_columns - u).logsumexp(-2, keepdim=True)
    done: Tensor | None = None
    low, high = (math.log(end) for end in ABSOLUTE_RANGE)
    for iteration in range(1, iterations):
        new_u = (for_rows - v).logsumexp(-1, keepdim=True)
        new_v = (for_columns - new_u).logsumexp(-2, keepdim=True)
        change = (new_u - u).expm1().abs() * (offset - new_u).clamp(low, high).exp()
        u, v = (new_u, new_v) if done is None else (torch.where(done, u, new_u), torch.where(done, v, new_v))
        if iteration < iterations - 1:
            stopped = change.sum(-2, keepdim=True) < tolerance
            done = stopped if done is None else done | stopped
    return (kernel - u - v).exp()


class FixedIterationSolver(OptimalDescriptorSolver):
    """An `OptimalDescriptorSolver` without data-dependent control flow, for graphs.

    Args:
        solver: Solver with the settings.
        iterations: Number of iterations of every transport problem.
    """

    def __init__(self, solver: OptimalDescriptorSolver, iterations: int) -> None:
        super().__init__(
            float(torch.as_tensor(solver.epsilon).detach()),
            iterations,
            solver.tolerance,
            solver.factor,
            solver.terms,
            solver.spatio,
            solver.temporal,
        )

    def _plan(self, cosines: Tensor, problem: TransportProblem) -> Tensor:
        return plan_after(
            self.max_iterations, cosines, problem=problem, epsilon=float(self.epsilon), tolerance=self.tolerance
        )


def traceable(matcher: Matcher, iterations: int | None = None) -> Matcher:
    """Returns a matcher with the same scores whose computation is a fixed graph.

    Args:
        matcher: Matcher with its settings.
        iterations: Number of Sinkhorn's iterations; None for the matcher's `max_iterations`, but at most `ITERATIONS`.

    Raises:
        UserError: If there is no such form of the matcher.
    """
    if type(matcher) is OptimalDescriptorSolver:
        terms = matcher.terms
        for problem in (
            matcher.problems[kind]
            for kind in matcher.descriptor_kinds
            if terms.of(kind)[1] or (kind == "temporal" and terms.order)
        ):
            plan_after(1, torch.zeros(1, 1), problem=problem)  # refuses what has no graph
        return FixedIterationSolver(matcher, iterations or min(matcher.max_iterations, ITERATIONS)).eval()
    if type(matcher) in _TRACEABLE:
        return matcher
    known = ", ".join(kind.__name__ for kind in (OptimalDescriptorSolver, *_TRACEABLE))
    raise UserError(f"The matcher {type(matcher).__name__} can't be written as a graph: expected one of {known}.")
