"""The gradient through a transport plan, by differentiating its optimality conditions instead of its iterations."""

from typing import Any, cast

import torch
from torch import Tensor


def differentiable_plan(
    log_kernel: Tensor, relaxation: Tensor | None, plan: Tensor, free_rows: Tensor, free_columns: Tensor, partial: bool
) -> Tensor:
    r"""The same plan, with a gradient to the kernel's logarithms.

    A solved plan is :math:`P = \exp(L + u_t + v_n + w)`, where the multipliers u, v, w are those that the sums ask for:
    :math:`r_t = 1/T`, :math:`\log c_n + \kappa v_n = -\log N` (:math:`\kappa = 0` for exact columns), and for partial
    plans a total mass, with u or v zero where a sum is below its bound. Differentiating these conditions gives a
    symmetric linear system of T + N (+ 1) unknowns for each problem, of which the frames are eliminated first: memory
    and time do not depend on the number of iterations. It is exact for a converged plan. (Luise et al., NeurIPS 2018;
    Eisenberger et al., CVPR 2022.)

    Args:
        log_kernel: L, (..., T, N).
        relaxation: kappa, a scalar; None for exact columns.
        plan: P, (..., T, N), solved without gradient.
        free_rows: bool (..., T), where u is zero (partial plans).
        free_columns: bool (..., N), where v is zero.
        partial: Whether only a given mass is carried.

    Returns:
        (..., T, N).
    """
    return cast("Tensor", _ImplicitPlan.apply(log_kernel, relaxation, plan, free_rows, free_columns, partial))


class _ImplicitPlan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        log_kernel: Tensor,
        relaxation: Tensor | None,
        plan: Tensor,
        free_rows: Tensor,
        free_columns: Tensor,
        partial: bool,
    ) -> Tensor:
        ctx.save_for_backward(relaxation, plan, free_rows, free_columns)
        ctx.partial = partial
        return plan.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        relaxation, plan, free_rows, free_columns = ctx.saved_tensors
        with torch.no_grad(), torch.autocast(plan.device.type, enabled=False):
            exact = plan.double()  # the systems are small, and nearly singular where descriptors are alike
            weighted = exact * grad.double()
            rows, columns = exact.sum(-1), exact.sum(-2)
            kappa = 0.0 if relaxation is None else relaxation.double()
            by_row = torch.where(free_rows, 0, 1 / rows.clamp(min=torch.finfo(exact.dtype).tiny))
            bound = (~free_columns).double()
            # unknowns: one for each column and, for partial plans, one for the total
            coupling = exact * bound[..., None, :]
            matrix = torch.diag_embed(torch.where(free_columns, 1.0, (1 + kappa) * columns))
            target = weighted.sum(-2) * bound
            if ctx.partial:
                total, border = rows.sum(-1)[..., None, None], (columns * bound)[..., None]
                matrix = torch.cat([torch.cat([matrix, border], -1), torch.cat([border.mT, total], -1)], -2)
                coupling = torch.cat([coupling, rows[..., None]], -1)
                target = torch.cat([target, weighted.sum((-2, -1))[..., None]], -1)
            elif relaxation is None:
                # moving mass between u and v changes nothing: fixes that freedom, and no more
                matrix = matrix + columns[..., None] * columns[..., None, :]
            matrix = matrix - coupling.mT @ (coupling * by_row[..., None])
            matrix = matrix + 1e-14 * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
            target = target - (coupling * (by_row * weighted.sum(-1))[..., None]).sum(-2)
            # solve_ex does not look at the outcome, which would make the host wait for the device
            by_column = torch.linalg.solve_ex(matrix, target[..., None])[0][..., 0]
            by_row = by_row * (weighted.sum(-1) - (coupling * by_column[..., None, :]).sum(-1))
            moved = by_row[..., None] + by_column[..., None, : columns.shape[-1]] * bound[..., None, :]
            if ctx.partial:
                moved = moved + by_column[..., -1][..., None, None]
            to_relaxation = None
            if relaxation is not None and ctx.needs_input_grad[1]:
                # kappa v_n is what the columns' sums lack
                lacking = -torch.log(columns.clamp(min=torch.finfo(exact.dtype).tiny) * columns.shape[-1])
                to_relaxation = (-(by_column * columns * lacking / kappa).sum()).to(relaxation.dtype)
            return (weighted - exact * moved).to(grad.dtype), to_relaxation, None, None, None, None
