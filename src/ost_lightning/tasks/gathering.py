"""Rows of all processes in one tensor, with true gradients."""

from typing import Any

import torch
from torch import Tensor, distributed


def process_count() -> int:
    """Number of processes that train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Rank of this process, from 0."""
    return distributed.get_rank() if process_count() > 1 else 0


def gather(tensor: Tensor) -> Tensor:
    r"""Concatenates the tensors of all W processes in the order of their ranks.

    The gradient is that of the sum of what all processes compute, :math:`\partial \sum_r L_r / \partial x`. When every
    process computes the same loss of the gathered rows, that is W times its gradient, and the mean over processes that
    DDP and FSDP take of the parameters' gradients makes it exact. Parameters that act after the gathering get the
    gradient of the loss in every process, and the mean leaves it as it is. (The released code returns the local rows of
    the gradient only, 1/W of the true one before the mean.)

    Args:
        tensor: (n, ...), of the same shape in every process.

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
