"""Linear maps on a CPU with weights in the layout of oneDNN's matrix products.

The only module that uses PyTorch's operators for packed weights, whose names are private.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS: Final = 1024
"""Number of rows for which the layout of weights is chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedLinear:
    """Weight in oneDNN's layout, and bias."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, linears: Iterable[nn.Linear], dtype: torch.dtype, scales: tuple[float, float] = (1.0, 1.0)) -> Self:
        """Packs linear layers of the same input as one.

        Args:
            linears: Layers, whose outputs follow one another.
            dtype: Type of the products.
            scales: Factors of the weights and of the biases.
        """
        parts = [(linear.weight.detach(), linear.bias.detach()) for linear in linears]
        weight = (torch.cat([weight for weight, _ in parts]) * scales[0]).to(dtype)
        bias = (torch.cat([bias for _, bias in parts]) * scales[1]).to(dtype)
        return cls(torch.ops.mkldnn._reorder_linear_weight(weight, ROWS), bias)

    def __call__(self, rows: Tensor) -> Tensor:
        """Maps rows (..., M) in the type of the weight to (..., N)."""
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")
        return found


def linear_map(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Returns a linear map without bias, in the type of its weight (N, M), as the layers would compute it.

    Args:
        weight: Weight in fp32 or bf16.
    """
    if not is_supported(weight.dtype):
        return lambda rows: F.linear(rows, weight)
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(weight.new_zeros(len(weight)))
    return PackedLinear.of([linear], weight.dtype)


def is_supported(dtype: torch.dtype) -> bool:
    """Returns whether this machine has products with packed weights of a type, which pay on x86 with wide vectors."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    operators = torch.ops.mkldnn
    if not all(hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight")):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(operators._is_mkldnn_bf16_supported()))
