"""Weight-space ensembling: a fine-tuned model pulled back towards what it was (Wortsman et al., CVPR 2022)."""

from collections.abc import Mapping

import torch
from torch import Tensor


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
