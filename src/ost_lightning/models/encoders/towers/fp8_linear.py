"""Linear layers whose products are computed in fp8 (Micikevicius et al., "FP8 formats for deep learning", 2022)."""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import ScalingType

from ost_lightning.errors import UserError

_FORMAT: Final = torch.float8_e4m3fn
_LARGEST: Final = torch.finfo(_FORMAT).max
_TINY: Final = 1e-12
"""Smallest scale, for rows of zeros."""
_MULTIPLE: Final = 16
"""What the sizes of a GPU's fp8 products are multiples of."""
_CAPABILITY: Final = (8, 9)


class Fp8Linear(nn.Linear):
    """A linear layer whose product is computed in fp8 (e4m3), for inference.

    Each row of the input and each output channel of the weight has a scale of its own, its largest magnitude over 448.
    The output of a row therefore depends on no other row of the batch. Weights are stored as before and rounded at each
    use, so loading and mixing them work as usual.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (..., D) to (..., W), in the precision of autocast, or else of the input.

        Raises:
            UserError: If a gradient is asked for.
        """
        if torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad):
            raise UserError(
                "fp8 is for inference: its rounded products have no gradients. Evaluate within torch.inference_mode(), "
                "and train or explain without fp8."
            )
        rows, row_scales = to_fp8(input.flatten(0, -2))
        weight, channel_scales = to_fp8(self.weight)
        # GPUs return the product of scaled rows in bf16 only
        product: Tensor = F.scaled_mm(
            rows,
            weight.mT,
            row_scales,
            ScalingType.RowWise,
            channel_scales.mT,
            ScalingType.RowWise,
            bias=None if self.bias is None else self.bias.to(torch.bfloat16),
            output_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        device = input.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        output: Tensor = product.unflatten(0, input.shape[:-1])
        return output.to(dtype)


def to_fp8(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds a matrix to fp8, each row with its own scale.

    Args:
        matrix: Real numbers, (n, D).

    Returns:
        e4m3 (n, D), contiguous, and fp32 scales (n, 1), by which rows are multiplied to get the original numbers.
    """
    scales = (matrix.abs().amax(-1, keepdim=True).float() / _LARGEST).clamp_min(_TINY)
    # the largest number must not be rounded up to more than fp8 can hold, which is NaN
    rounded = (matrix.float() / scales).clamp(-_LARGEST, _LARGEST).to(_FORMAT)
    return rounded.contiguous(), scales


def use_fp8_products(layers: Iterable[nn.Module]) -> int:
    """Replaces linear layers by `Fp8Linear` with the same weights.

    Linear layers with sizes that are no multiples of 16 stay as they are, and also those whose weights are read by
    `nn.MultiheadAttention` rather than called.

    Args:
        layers: Layers of a tower, changed in place.

    Returns:
        Number of layers that compute in fp8.
    """
    count = 0
    for parent in [part for layer in layers for part in layer.modules()]:
        for name, child in parent.named_children():
            sizes = (child.in_features, child.out_features) if type(child) is nn.Linear else (1,)
            if all(size % _MULTIPLE == 0 for size in sizes):
                setattr(parent, name, _sharing_weights(child))
            count += isinstance(getattr(parent, name), Fp8Linear)
    return count


def require_fp8(device: torch.device) -> None:
    """Checks that a device computes products in fp8.

    A CPU does, for trying out what is different: it is not faster.

    Raises:
        UserError: If it doesn't.
    """
    if device.type == "cpu":
        return
    expected = "fp8 needs an NVIDIA GPU of compute capability 8.9 or later (Ada, Hopper, Blackwell), or a CPU"
    if device.type != "cuda" or torch.version.hip is not None:
        raise UserError(f"{expected}, but the device is {device}. Evaluate without fp8.")
    capability = torch.cuda.get_device_capability(device)
    if capability < _CAPABILITY:
        name, found = torch.cuda.get_device_name(device), ".".join(map(str, capability))
        raise UserError(f"{expected}, but {device} is {name} with {found}. Evaluate without fp8.")


def _sharing_weights(layer: nn.Module) -> Fp8Linear:
    converted = Fp8Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")  # type: ignore[arg-type]
    converted.weight, converted.bias = layer.weight, layer.bias  # type: ignore[assignment]
    return converted.train(layer.training)
