"""From frames to the model's square: crops, flips and colours, the same for all frames of a clip, in uint8."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ost_lightning.errors import UserError
from ost_lightning.pytorchvideo_compat import uniform_crop

_MULTI_SCALE: Final = (1.0, 0.875, 0.75, 0.66)
_STRONGEST: Final = 30


class MultiScaleCrop(v2.Transform):  # type: ignore[misc]  # torchvision is not typed
    """Crops at one of a few scales and five places, then resizes to a square (Wang et al., ECCV 2016).

    Height and width are the short side times two scales that stand next to each other in `scales` or are equal; the
    place is a corner or the centre.

    Args:
        size: Pixels of the resulting square.
        scales: Shares of the short side, descending.
    """

    def __init__(self, size: int, scales: Sequence[float] = _MULTI_SCALE) -> None:
        super().__init__()
        self.size, self.scales = size, tuple(scales)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, int]:
        """Draws one crop for the whole clip."""
        height, width = flat_inputs[0].shape[-2:]
        sides = [int(min(height, width) * scale) for scale in self.scales]
        pairs = [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1]
        crop_height, crop_width = pairs[_draw(len(pairs))]
        down, across = height - crop_height, width - crop_width
        top, left = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)][_draw(5)]
        return {"top": top, "left": left, "height": crop_height, "width": crop_width}

    def transform(self, inpt: Tensor, params: dict[str, int]) -> Tensor:
        """Cuts and resizes (..., 3, H, W) to (..., 3, size, size)."""
        resized: Tensor = F.resized_crop(inpt, **params, size=[self.size, self.size], antialias=True)
        return resized


class TrainingTransform(nn.Module):
    """Augments one clip: multi-scale crop, flip, RandAugment, colour jitter, grayscale.

    Draws from torch's global generator.

    Args:
        size: Pixels of the square.
        flip: Probability of mirroring; 0 where left and right are part of a label.
        colour_jitter: Probability of changing brightness, contrast and saturation by up to 40, 40 and 20 % and the hue
            by up to 10 %.
        grayscale: Probability of dropping the colours.
        jitter_each_frame: Draw the colour jitter anew for every frame, so that the clip flickers, as in the released
            code; otherwise all frames of a clip change alike.
        scales: Of `MultiScaleCrop`.
        rand_augment: Operations a clip and their strength, 0 to 30 (Cubuk et al., 2020); None for none. (2, 9) in the
            fully supervised recipe.
    """

    def __init__(
        self,
        size: int,
        *,
        flip: float = 0.5,
        colour_jitter: float = 0.8,
        grayscale: float = 0.2,
        jitter_each_frame: bool = False,
        scales: Sequence[float] = _MULTI_SCALE,
        rand_augment: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if rand_augment is not None and not (rand_augment[0] >= 1 and 0 <= rand_augment[1] <= _STRONGEST):
            raise UserError(
                f"rand_augment is {list(rand_augment)}, but it is a number of operations (at least 1) and a strength "
                f"(0 to {_STRONGEST})."
            )
        jitter: nn.Module = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
        if jitter_each_frame:
            jitter = _EachFrame(jitter)
        self.steps = v2.Compose(
            [
                MultiScaleCrop(size, scales),
                v2.RandomHorizontalFlip(flip),
                *([v2.RandAugment(*rand_augment, num_magnitude_bins=_STRONGEST + 1)] if rand_augment else []),
                v2.RandomApply([jitter], p=colour_jitter),
                v2.RandomGrayscale(grayscale),
            ]
        )

    def forward(self, clips: Tensor) -> Tensor:
        """uint8 (V, T, 3, H, W) to (V, T, 3, size, size)."""
        return torch.stack([self.steps(clip) for clip in clips])


class _EachFrame(nn.Module):
    """Applies a random change to every frame by itself."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, clip: Tensor) -> Tensor:
        """(T, 3, H, W) to the same shape."""
        return torch.stack([self.change(frame) for frame in clip])


class EvaluationTransform(nn.Module):
    """Cuts fixed squares: the centre, or three along the longer side.

    Args:
        size: Pixels of the square.
        crops: 1 (centre) or 3 (start, centre, end).
    """

    def __init__(self, size: int, crops: Literal[1, 3] = 1) -> None:
        super().__init__()
        self.size, self.crops = size, crops

    def forward(self, clips: Tensor) -> Tensor:
        """uint8 (V, T, 3, H, W) to (V x crops, T, 3, size, size), the crops of a view side by side.

        Raises:
            UserError: If the frames are smaller than the square.
        """
        if min(clips.shape[-2:]) < self.size:
            raise UserError(
                f"The frames are {clips.shape[-2]} x {clips.shape[-1]} pixels, too small for a crop of {self.size}: "
                f"set the clips' short_side to at least their crop_size."
            )
        if self.crops == 1:
            centre: Tensor = F.center_crop(clips, [self.size, self.size])
            return centre
        # pytorchvideo crops (C, T, H, W); which axis is which does not matter as long as H and W are last
        return torch.stack([uniform_crop(clip, self.size, place) for clip in clips for place in range(3)])


def _draw(count: int) -> int:
    return int(torch.randint(count, ()))
