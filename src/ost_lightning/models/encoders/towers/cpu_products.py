"""Matrix products on a CPU by oneDNN, where it is faster than the library that PyTorch calls for fp32."""

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_LEAST_OPERATIONS: Final = 10**8
"""Multiplications of a product from which oneDNN's fixed cost per call is repaid."""
_PROCESSORS: Final = Path("/proc/cpuinfo")


def fast_products(device: torch.device) -> AbstractContextManager[Any]:
    """Returns a context in which large linear layers without gradients are computed the fastest way.

    PyTorch leaves fp32 products to Intel's MKL, which doesn't use all instructions of other vendors' processors. There
    they are computed by oneDNN, which is part of PyTorch too. Results are equal but for rounding.

    Args:
        device: Device that computes.
    """
    usable = device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return _LinearByOneDNN() if usable and _onednn_is_faster() else nullcontext()


class _LinearByOneDNN(TorchFunctionMode):
    """Replaces `F.linear` of large fp32 matrices, and leaves all other functions as they are."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.nn.functional.linear and not kwargs and _is_large(*args):
            rows, weight, bias = (*args, None)[:3]
            return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        return func(*args, **(kwargs or {}))


def _is_large(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Returns whether a product is plain fp32 and large enough."""
    plain = all(type(part) in (Tensor, torch.nn.Parameter) for part in (rows, weight))
    if not plain or rows.dtype != torch.float32 or weight.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    return rows.numel() * weight.shape[0] >= _LEAST_OPERATIONS


@cache
def _onednn_is_faster() -> bool:
    """Returns whether the processor is one on which oneDNN's fp32 products are faster than MKL's."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    if not torch.backends.mkl.is_available() or not _PROCESSORS.is_file():
        return False
    return "GenuineIntel" not in _PROCESSORS.read_text(encoding="utf-8")
