"""Gradient through a transport plan, from its optimality conditions instead of the unrolled iterations."""

from typing import Any, cast

import torch
from torch import Tensor

from ost_lightning.matching.sinkhorn_problem import Marginals, SinkhornResult


def differentiable_plan(
    log_kernel: Tensor, marginals: Marginals, solved: SinkhornResult, log_rows: Tensor | None = None
) -> Tensor:
    r"""Returns the plan of a result, differentiable with respect to the log kernel, epsilon / rho and the row sums.

    A solved plan is :math:`P = \exp(L + u_t + v_n + w)`. The multipliers u, v, w satisfy the constraints on the row
    sums :math:`r_t` and the column sums :math:`\log c_n + \kappa v_n = \log b_n`, where
    :math:`\kappa = \epsilon / \rho`, or 0 for exact columns. A partial plan also has a total mass, and u or v is zero
    where a sum is below its bound. Differentiating these conditions gives a symmetric linear system with T + N (+ 1)
    unknowns per problem. The frames are eliminated first. Memory and time do not depend on the number of iterations,
    and the gradient is exact for a converged plan. (Luise et al., NeurIPS 2018; Eisenberger et al., CVPR 2022.)

    Args:
        log_kernel: Log kernel L, (..., T, N); constants without a gradient, such as the prior, may be omitted.
        marginals: Constraints under which the plan was computed.
        solved: Result without gradient, with the problems first; the multiplier of a slack row or column is zero.
        log_rows: Logarithms of the row sums, (..., T); None if they are uniform.

    Returns:
        Plan, (..., T, N).
    """
    ratio = marginals.epsilon_over_rho
    kappa = None if ratio is None else torch.as_tensor(ratio, dtype=torch.float64)
    return cast("Tensor", _ImplicitPlan.apply(log_kernel, kappa, log_rows, solved, marginals.mass is not None))


class _ImplicitPlan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        log_kernel: Tensor,
        kappa: Tensor | None,
        log_rows: Tensor | None,
        solved: SinkhornResult,
        partial: bool,
    ) -> Tensor:
        ctx.save_for_backward(kappa, solved.plan, solved.slack_rows, solved.slack_columns)
        ctx.partial = partial
        return solved.plan.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kappa, plan, slack_rows, slack_columns = ctx.saved_tensors
        with torch.no_grad(), torch.autocast(plan.device.type, enabled=False):
            exact = plan.double()  # the systems are small, and nearly singular where descriptors are alike
            weighted = exact * grad.double()
            rows, columns = exact.sum(-1), exact.sum(-2)
            by_row = torch.where(slack_rows, 0, 1 / rows.clamp(min=torch.finfo(exact.dtype).tiny))
            bound = (~slack_columns).double()
            # unknowns: one per column and, for partial plans, one for the total mass
            coupling = exact * bound[..., None, :]
            diagonal = columns if kappa is None else (1 + kappa) * columns
            matrix = torch.diag_embed(torch.where(slack_columns, 1.0, diagonal))
            target = weighted.sum(-2) * bound
            if ctx.partial:
                total, border = rows.sum(-1)[..., None, None], (columns * bound)[..., None]
                matrix = torch.cat([torch.cat([matrix, border], -1), torch.cat([border.mT, total], -1)], -2)
                coupling = torch.cat([coupling, rows[..., None]], -1)
                target = torch.cat([target, weighted.sum((-2, -1))[..., None]], -1)
            matrix = matrix - coupling.mT @ (coupling * by_row[..., None])
            # balanced problems are singular, since moving mass between u and v changes nothing
            matrix = matrix + 1e-14 * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
            target = target - (coupling * (by_row * weighted.sum(-1))[..., None]).sum(-2)
            # solve_ex skips the check of the result, which would force a host-device synchronization
            by_column = torch.linalg.solve_ex(matrix, target[..., None])[0][..., 0]
            by_row = by_row * (weighted.sum(-1) - (coupling * by_column[..., None, :]).sum(-1))
            moved = by_row[..., None] + by_column[..., None, : columns.shape[-1]] * bound[..., None, :]
            if ctx.partial:
                moved = moved + by_column[..., -1][..., None, None]
            to_kappa = None
            if kappa is not None and ctx.needs_input_grad[1]:
                # kappa v_n is the difference between the logarithms of 1/N and of a column's sum
                log_gap = -torch.log(columns.clamp(min=torch.finfo(exact.dtype).tiny) * columns.shape[-1])
                to_kappa = (-(by_column * columns * log_gap / kappa).sum()).to(kappa.dtype)
            # the multiplier of a row's sum is its derivative
            to_log_rows = (by_row * rows).to(grad.dtype) if ctx.needs_input_grad[2] else None
            return (weighted - exact * moved).to(grad.dtype), to_kappa, to_log_rows, None, None
