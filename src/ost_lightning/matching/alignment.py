"""Alignment of frames with steps in their order: soft dynamic time warping."""

import math
from typing import Final, Literal

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.matchers import PlanMatcher, pairwise_cosines
from ost_lightning.vocabulary import DescriptorKind

Moves = Literal["dtw", "monotone"]
"""How a path may go on: to the next frame, the next step or both; or always to the next frame."""

_IMPOSSIBLE: Final = -1e9
"""Logarithm of the weight of impossible paths; finite, so that gradients are finite too."""


class SoftDTW(PlanMatcher):
    r"""Soft dynamic time warping: frames aligned with steps that occur once each, and in their order.

    A path through the matrix of frames and Temporal Descriptors begins at the first of both and ends at the last of
    both. It has the weight :math:`\exp(-\sum (1 - \cos_{tn}) / \gamma)`, summed over its cells. The plan holds the
    expected number of visits of each cell, divided by the expected length of a path. The similarity is the plan's mean
    cosine, so long lists of steps have no advantage. (Cuturi and Blondel, ICML 2017; frames and steps as in ActAlign,
    Aghdam et al., 2025.)

    Every frame belongs to a step and every step to a frame. In a plan of the `OptimalDescriptorSolver`, which has fixed
    marginals, a step may occur at any time, or around its time with `order_sigma`.

    Args:
        gamma: Smoothness, > 0. Towards 0, only the best path counts; large values weigh all paths alike.
        moves: Moves of a path: `dtw` for the next frame, the next step or both, or `monotone` for always the next
            frame, with the same step or the next one. Then there must be at least as many frames as steps.

    Raises:
        UserError: If gamma is not positive, or the moves are unknown.

    Examples:
        One video of three frames, one class with two steps; then the same video played backwards.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]])
        >>> steps = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> matcher = SoftDTW()
        >>> matcher(frames, steps), matcher(frames.flip(1), steps)
        (tensor([[0.9238]]), tensor([[0.3645]]))
    """

    kinds = ("temporal",)

    def __init__(self, gamma: float = 0.1, moves: Moves = "dtw") -> None:
        super().__init__()
        if not (gamma > 0 and math.isfinite(gamma)):
            raise UserError(f"SoftDTW.gamma must be a positive number, not {gamma}.")
        if moves not in ("dtw", "monotone"):
            raise UserError(f"SoftDTW.moves is '{moves}': expected dtw or monotone.")
        self.gamma, self.moves = gamma, moves

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns similarities (B, K) from frames (B, T, d) and Temporal Descriptors (K, N, d)."""
        (steps,) = texts
        cosines, plan = self.cosines_and_plan(frames, steps, "temporal")
        return (plan * cosines).sum((-2, -1))

    def cosines_and_plan(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> tuple[Tensor, Tensor]:
        """Returns cosines and soft alignment of each video and class, each (B, K, T, N); an alignment sums to 1.

        Raises:
            UserError: If there are fewer frames than steps, and moves are monotone.
        """
        cosines = pairwise_cosines(frames, descriptors)
        visits = soft_alignment(1 - cosines, self.gamma, self.moves)[1]
        return cosines, visits / visits.sum((-2, -1), keepdim=True)


def soft_alignment(costs: Tensor, gamma: float, moves: Moves = "dtw") -> tuple[Tensor, Tensor]:
    r"""Sums over all paths from the first frame and step to the last of both.

    Gradients flow through both results. The computation runs in fp64, because sums of costs over a small gamma lose
    digits; the results have the precision of the costs, but fp32 at least.

    Args:
        costs: Costs of cells, finite (..., T, N).
        gamma: Smoothness, > 0.
        moves: Moves of a path; see `SoftDTW`.

    Returns:
        Soft minimum of the paths' costs, :math:`-\gamma \log \sum \exp(-cost / \gamma)`, (...); and its derivative with
        respect to the costs, the expected number of visits of each cell, (..., T, N).

    Raises:
        UserError: If there are fewer frames than steps, and moves are monotone.

    Examples:
        >>> value, visits = soft_alignment(torch.tensor([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2]]), 0.5)
        >>> value
        tensor(0.2896)
        >>> visits
        tensor([[1.0000, 0.0728],
                [0.4871, 0.6454],
                [0.0596, 1.0000]])
    """
    frames, steps = costs.shape[-2:]
    if moves == "monotone" and frames < steps:
        raise UserError(
            f"Monotone moves give every step a frame of its own, but there are {frames} frames and {steps} steps: "
            "raise the number of frames, or set moves to dtw."
        )
    if steps > frames:  # the table of partial sums has as many columns as there are steps, in frames + steps rows
        total, visits = soft_alignment(costs.mT, gamma, moves)
        return total, visits.mT
    with torch.autocast(costs.device.type, enabled=False):
        weights = -costs.double() / gamma
        # the same recursion sums over the beginnings of paths, and from the other corner over their ends
        beginnings, ends = _sums(torch.stack([weights, weights.flip(-2, -1)]), moves)
        total = beginnings[..., -1, -1]
        visits = (beginnings + ends.flip(-2, -1) - weights - total[..., None, None]).exp()
        dtype = torch.promote_types(costs.dtype, torch.float32)
        return (-gamma * total).to(dtype), visits.to(dtype)


def _sums(weights: Tensor, moves: Moves) -> Tensor:
    """Logarithms of the summed weights of all paths from the first cell to each cell, (..., T, N)."""
    frames, steps = weights.shape[-2:]
    # a row of this layout is an antidiagonal: frame t and step n are in row t + n, which needs the two rows before it
    rows = torch.arange(frames + steps - 1, device=weights.device)[:, None]
    times = rows - torch.arange(steps, device=weights.device)
    inside = (times >= 0) & (times < frames)
    skewed = weights.gather(-2, times.clamp(0, frames - 1).expand(*weights.shape[:-2], -1, -1))
    skewed = skewed.masked_fill(~inside, _IMPOSSIBLE)
    impossible = torch.full_like(skewed[..., 0, :], _IMPOSSIBLE)
    start = impossible.clone()
    start[..., 0] = 0
    found = [start + skewed[..., 0, :]]
    before = impossible
    for row in range(1, frames + steps - 1):
        last = found[-1]
        options = [last, _next_step(before)]  # the next frame; the next frame and step
        if moves == "dtw":
            options.append(_next_step(last))
        found.append(torch.stack(options).logsumexp(0) + skewed[..., row, :])
        before = last
    sums = torch.stack(found, -2)
    steps_of = torch.arange(steps, device=weights.device)
    back = torch.arange(frames, device=weights.device)[:, None] + steps_of
    return sums.gather(-2, back.expand(*weights.shape[:-2], -1, -1))


def _next_step(sums: Tensor) -> Tensor:
    """Moves the sums (..., N) on by one step."""
    return torch.nn.functional.pad(sums[..., :-1], (1, 0), value=_IMPOSSIBLE)
