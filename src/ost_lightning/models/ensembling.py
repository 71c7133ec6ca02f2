"""Weight-space ensembling: interpolates between pre-trained and fine-tuned weights (Wortsman et al., CVPR 2022)."""

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
        tuned: Weights after fine-tuning, with the same names and shapes.
        ratio: r, the share of the original weights, 0 to 1.

    Returns:
        The mixture, on the device and in the dtype of `tuned`.

    Raises:
        ValueError: If the ratio is out of range, or the two sets differ in names or shapes.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the ratio is the share of the original weights: expected 0 to 1, found {ratio}")
    if differing := sorted(set(original) ^ set(tuned)):
        raise ValueError(
            f"the two models do not have the same weights: {differing[0]} and {len(differing) - 1} more are in only one"
        )
    mixed = {}
    for name, weight in tuned.items():
        before = original[name].to(weight.device, weight.dtype)
        if before.shape != weight.shape:
            raise ValueError(
                f"{name} has shape {tuple(before.shape)} before fine-tuning, but {tuple(weight.shape)} after it"
            )
        mixed[name] = torch.lerp(weight.detach(), before, ratio)
    return mixed


@torch.no_grad()
def add_to_average(average: dict[str, Tensor], weights: Mapping[str, Tensor], counts: Mapping[str, int]) -> None:
    r"""Adds one more set of weights to a running mean, in place.

    .. math:: W \leftarrow (W n + W_e) / (n + 1)

    Args:
        average: Name to mean, fp32; names that it lacks are added.
        weights: Name to weight of the further set, on any device.
        counts: Number n of sets that each mean is over; 0 for names that it lacks.
    """
    for name, weight in weights.items():
        further = weight.detach().to("cpu", torch.float32)
        if count := counts.get(name, 0):
            average[name] = torch.lerp(average[name], further, 1 / (count + 1))
        else:
            average[name] = further.clone()


@contextmanager
def exchanged_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Replaces a module's weights inside a `with` block, without copying them.

    Args:
        module: Module whose parameters point at other values inside the block.
        weights: Name to value of every parameter, with the names of `named_parameters`.
    """
    saved = {name: parameter.data for name, parameter in module.named_parameters()}
    try:
        for name, parameter in module.named_parameters():
            parameter.data = weights[name]
        yield
    finally:
        for name, parameter in module.named_parameters():
            parameter.data = saved[name]
