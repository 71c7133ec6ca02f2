"""Weight-space ensembling: a fine-tuned model pulled back towards what it was (Wortsman et al., CVPR 2022)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@torch.no_grad()
def ensemble_weights(original: Mapping[str, Tensor], tuned: Mapping[str, Tensor], ratio: float) -> dict[str, Tensor]:
    r"""Mixes two sets of weights (Sec. 4 of the paper, with r = 0.2).

    .. math:: \theta = r \, \theta_{original} + (1 - r) \, \theta_{tuned}

    Args:
        original: Weights before fine-tuning, on any device.
        tuned: Weights after it, with the same names and shapes.
        ratio: r, the original's share, 0 to 1.

    Returns:
        The mixture, on the device and in the type of `tuned`.

    Raises:
        ValueError: If the ratio is out of range or the two do not match.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the ratio is the share of the original weights, 0 to 1, not {ratio}")
    if differing := sorted(set(original) ^ set(tuned)):
        raise ValueError(
            f"the two models do not have the same weights: {differing[0]} and {len(differing) - 1} more are in one only"
        )
    mixed = {}
    for name, weight in tuned.items():
        before = original[name].to(weight.device, weight.dtype)
        if before.shape != weight.shape:
            raise ValueError(
                f"{name} has shape {tuple(before.shape)} originally and {tuple(weight.shape)} after tuning"
            )
        mixed[name] = torch.lerp(weight.detach(), before, ratio)
    return mixed


@contextmanager
def exchanged_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Lets a module's parameters point at other values for a while; nothing is copied.

    Args:
        module: The module.
        weights: Values of all its parameters, by the names that `named_parameters` gives.
    """
    own = {name: parameter.data for name, parameter in module.named_parameters()}
    try:
        for name, parameter in module.named_parameters():
            parameter.data = weights[name]
        yield
    finally:
        for name, parameter in module.named_parameters():
            parameter.data = own[name]
