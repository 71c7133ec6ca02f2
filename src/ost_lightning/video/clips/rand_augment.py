"""RandAugment of clips (Cubuk et al., 2020), as torchvision and timm have it."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from ost_lightning.errors import UserError

RandAugmentSetting = tuple[int, int] | str
"""Number of torchvision's operations and their magnitude, or a configuration of timm."""
_MAX_MAGNITUDE: Final = 30
_NUMBER: Final = r"\d+(\.\d+)?"
_TIMM: Final = re.compile(rf"rand(-(m\d+|n\d+|p{_NUMBER}|mstd{_NUMBER}|mmax\d+|inc[01]|t(weights|3a|3aw)))*")


def check_rand_augment(setting: RandAugmentSetting) -> None:
    """Checks a setting of RandAugment.

    Raises:
        UserError: If it is out of range, no configuration of timm, or timm is not installed.
    """
    if isinstance(setting, str):
        if not _TIMM.fullmatch(setting):
            raise UserError(
                f"rand_augment is '{setting}': expected a configuration of timm such as rand-m7-n4-mstd0.5-inc1, or "
                "two numbers such as [2, 9] for torchvision's RandAugment."
            )
        if find_spec("timm") is None:
            raise UserError(
                f"rand_augment is '{setting}', which needs the package timm: `pip install 'ost-lightning[timm]'`."
            )
    elif not (setting[0] >= 1 and 0 <= setting[1] <= _MAX_MAGNITUDE):
        raise UserError(
            f"rand_augment is {list(setting)}, but it is a number of operations (at least 1) and a magnitude (0 to "
            f"{_MAX_MAGNITUDE})."
        )


def clip_rand_augment(setting: RandAugmentSetting) -> nn.Module:
    """Returns a module that maps clips uint8 (T, 3, H, W) to augmented ones, with the same changes in all frames.

    Args:
        setting: Number of operations of torchvision and their magnitude, 0 to 30; or a configuration of timm.

    Raises:
        UserError: If the setting is wrong, or timm is not installed.
    """
    check_rand_augment(setting)
    if isinstance(setting, str):
        return TimmRandAugment(setting)
    from torchvision.transforms import v2

    augment: nn.Module = v2.RandAugment(*setting, num_magnitude_bins=_MAX_MAGNITUDE + 1)
    return augment


class TimmRandAugment(nn.Module):
    """timm's RandAugment for clips.

    It differs from torchvision's in these: 15 operations, among them invert and solarize-add, and no identity; each is
    applied with a probability (`p`, 0.5); the magnitude, of 10, can be noisy (`mstd`); with `inc1`, a larger magnitude
    is a stronger change for all operations. Pictures that are moved are filled with gray.

    Args:
        configuration: Configuration in timm's notation, such as `rand-m7-n4-mstd0.5-inc1`: magnitude 7, 4 operations.
    """

    def __init__(self, configuration: str) -> None:
        from PIL.Image import Resampling
        from timm.data.auto_augment import rand_augment_transform

        super().__init__()
        self.configuration = configuration
        options = {"img_mean": (128, 128, 128), "interpolation": Resampling.BICUBIC}
        self._change: Any = rand_augment_transform(configuration, options)

    def forward(self, clip: Tensor) -> Tensor:
        """Changes frames uint8 (T, 3, H, W); the draws depend on torch's global generator."""
        from torchvision.transforms.v2 import functional as F

        seed = int(torch.randint(2**32, ()))
        changed = []
        for frame in clip.cpu():
            with _seeded(seed):  # the same draws for every frame
                changed.append(F.pil_to_tensor(self._change(F.to_pil_image(frame))))
        return torch.stack(changed).to(clip.device)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the generators that timm draws from, and restores them."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
