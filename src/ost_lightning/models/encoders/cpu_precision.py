"""Precision of frame embeddings on a CPU: fp32, or bf16 where that is faster."""

import time
from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Final, Literal

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.base import DualEncoder
from ost_lightning.models.encoders.towers.packed_linear import linear_map

CPUPrecision = Literal["fp32", "bf16", "auto"]
"""Precision in which a CPU embeds frames; `auto` measures whether bf16 is faster."""

_WORTHWHILE: Final = 1.2
"""Ratio of speeds from which `auto` chooses bf16, because attention and norms gain less than products."""
_HOPELESS: Final = 0.5
"""Ratio in the first turn below which bf16 is emulated, so that more turns would only take time."""
_TURNS: Final = 7
_ROWS: Final = 512
_WIDTH: Final = 768


def use_cpu_precision(encoder: DualEncoder, wanted: CPUPrecision, device: torch.device) -> str:
    """Sets the precision in which an encoder embeds frames on a CPU; sentences are always embedded in fp32.

    Args:
        encoder: Encoder.
        wanted: Precision. On a GPU, `auto` changes nothing.
        device: Device on which the encoder will be used.

    Returns:
        What `auto` chose and why, as a sentence; empty if there was nothing to choose.

    Raises:
        UserError: If the precision is unknown, it is bf16 and the device is not a CPU, or the encoder computes in fp8.
    """
    if wanted not in ("fp32", "bf16", "auto"):
        raise UserError(f"cpu_precision is {wanted!r}: expected fp32, bf16 or auto.")
    encoder.cpu_precision = "fp32"
    if device.type != "cpu":
        if wanted == "bf16":
            raise UserError(f"cpu_precision is bf16, but the device is {device}, not a CPU: omit it, or use auto.")
        return ""
    if encoder.fp8 and wanted != "fp32":
        raise UserError(f"cpu_precision is {wanted}, which fp8 excludes: omit one of them.")
    if wanted == "auto":
        speed = bf16_speed(torch.get_num_threads())
        encoder.cpu_precision = "bf16" if speed >= _WORTHWHILE else "fp32"
        return (
            f"Frames are embedded in {encoder.cpu_precision}, because this CPU multiplies matrices "
            f"{speed:.1f} x as fast in bf16 as in fp32."
        )
    encoder.cpu_precision = wanted
    return ""


@cache
def bf16_speed(threads: int) -> float:
    """Measures how many times as fast a layer's product is in bf16 as in fp32, once per process: half a second.

    Args:
        threads: Number of threads that PyTorch uses.

    Returns:
        Median of the ratios of several turns, in each of which both are timed.
    """
    del threads  # determines only when it is measured again
    single, half = product(torch.float32), product(torch.bfloat16)
    seconds(single)  # warms up
    ratio = seconds(single) / seconds(half)
    if ratio < _HOPELESS:
        return ratio
    return median(seconds(single) / seconds(half) for _ in range(_TURNS))


def product(dtype: torch.dtype) -> Callable[[], Tensor]:
    """Returns a function that computes a product as in ViT-B, in the given type."""
    generator = torch.Generator().manual_seed(0)
    multiply = linear_map(torch.randn(4 * _WIDTH, _WIDTH, generator=generator).to(dtype))
    rows = torch.randn(_ROWS, _WIDTH, generator=generator).to(dtype)
    return lambda: multiply(rows)


@torch.inference_mode()
def seconds(compute: Callable[[], Tensor]) -> float:
    """Returns the time that a computation takes."""
    began = time.perf_counter()
    compute()
    return time.perf_counter() - began
