"""Gathers rows from all processes into one tensor, with exact gradients."""

from typing import Any

import torch
from torch import Tensor, distributed


def process_count() -> int:
    """Returns the number of processes that train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Returns the rank of this process, from 0."""
    return distributed.get_rank() if process_count() > 1 else 0


def gather(tensor: Tensor) -> Tensor:
    r"""Concatenates the tensors of all W processes in the order of their ranks.

    The gradient is that of the sum of all processes' losses, :math:`\partial \sum_r L_r / \partial x`. If every process
    computes the same loss from the gathered rows, this is W times the loss's gradient. DDP and FSDP then average the
    parameters' gradients over processes, which makes the result exact. Parameters that are used after the gathering
    have the same gradient in every process, and the average doesn't change it. (The released code returns only the
    local rows of the gradient, 1/W of the exact one before averaging.)

    Args:
        tensor: Rows of this process, (n, ...), with the same shape in every process.

    Returns:
        (W n, ...); the tensor itself if there is one process.
    """
    if process_count() == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        rows = tensor.detach().contiguous()
        gathered = [torch.empty_like(rows) for _ in range(process_count())]
        distributed.all_gather(gathered, rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total.chunk(process_count())[process_rank()]
