"""Crops of training clips: each draws the part of the frames that one clip shows."""

import math
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import torch
from torch import Generator

from ost_lightning.errors import UserError
from ost_lightning.video.decoding.scaling import Box

CropOffsets = Literal["round", "floor"]
"""Rounding of the positions of crops: `round` to the nearest pixel, or `floor` as in the released code."""
TrainingCrop = Literal["random_resized", "center"]
"""Crop of training clips other than the multi-scale one."""
_MULTI_SCALE: Final = (1.0, 0.875, 0.75, 0.66)
_WHOLE_RANGE: Final = (0.08, 1.0)
_TRIES: Final = 10


class RandomCrop(Protocol):
    """Draws the part of the frames that a clip shows."""

    def draw(self, height: int, width: int, generator: Generator) -> Box:
        """Draws one crop for a whole clip, from the size of its frames in pixels."""


class MultiScaleCrop:
    """Crops at one of a few scales and five positions (Wang et al., ECCV 2016).

    Height and width are the short side times two scales that are equal or adjacent in `scales`; the position is a
    corner or the center.

    Args:
        scales: Fractions of the short side, descending.
        offsets: Rounding of the positions: `floor` takes multiples of a quarter of the free space, rounded down, so
            that the crops at the far end may miss it by up to three pixels.
    """

    def __init__(self, scales: Sequence[float] = _MULTI_SCALE, offsets: CropOffsets = "round") -> None:
        self.scales, self.offsets = tuple(scales), offsets

    def draw(self, height: int, width: int, generator: Generator) -> Box:
        """Draws one crop for a whole clip.

        Args:
            height: Height of the frames in pixels.
            width: Width of the frames in pixels.
            generator: Source of randomness.
        """
        sides = [int(min(height, width) * scale) for scale in self.scales]
        pairs = [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1]
        crop_height, crop_width = pairs[_draw(len(pairs), generator)]
        down, across = height - crop_height, width - crop_width
        if self.offsets == "floor":
            down, across = down // 4 * 4, across // 4 * 4
        corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
        return Box(*corners[_draw(len(corners), generator)], crop_height, crop_width)


class RandomResizedCrop:
    """Crops a random share of the area at a random aspect ratio and position (Szegedy et al., CVPR 2015).

    Draws the same crops as torchvision's class of this name with the same generator; torchvision's import would take
    seconds in every process that reads videos.

    Args:
        area: Smallest and largest share of the frame's area.
        aspect: Smallest and largest ratio of width to height, uniform in its logarithm.

    Raises:
        UserError: If a range is not one.
    """

    def __init__(self, area: tuple[float, float] = _WHOLE_RANGE, aspect: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
        if not 0 < area[0] <= area[1] <= 1:
            raise UserError(
                f"clips.crop_area is {list(area)}: expected the smallest and largest share of a frame's area, "
                "more than 0 and at most 1."
            )
        if not 0 < aspect[0] <= aspect[1]:
            raise UserError(f"The aspect ratios {list(aspect)} must be positive, the smaller one first.")
        self.area, self.aspect = area, aspect

    def draw(self, height: int, width: int, generator: Generator) -> Box:
        """Draws one crop for a whole clip; a central one if no drawn shape fits into the frame in ten tries.

        Args:
            height: Height of the frames in pixels.
            width: Width of the frames in pixels.
            generator: Source of randomness.
        """
        for _ in range(_TRIES):
            area = height * width * _uniform(*self.area, generator)
            smallest, largest = torch.log(torch.tensor(self.aspect)).tolist()  # in fp32, as torchvision
            ratio = math.exp(_uniform(smallest, largest, generator))
            crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < crop_width <= width and 0 < crop_height <= height:
                top = _draw(height - crop_height + 1, generator)
                return Box(top, _draw(width - crop_width + 1, generator), crop_height, crop_width)
        smallest, largest = self.aspect
        crop_height, crop_width = height, width
        if width / height < smallest:
            crop_height = round(width / smallest)
        elif width / height > largest:
            crop_width = round(height * largest)
        return Box((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width)


class CenterCrop:
    """The square in the center, as in evaluation: no augmentation.

    Args:
        size: Side of the square in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def draw(self, height: int, width: int, generator: Generator) -> Box:
        """Returns the crop, without drawing anything."""
        return center_box(height, width, self.size)


def center_box(height: int, width: int, side: int) -> Box:
    """Returns the square in the center of frames of this height and width."""
    return Box(round((height - side) / 2), round((width - side) / 2), side, side)


def training_crop(
    name: TrainingCrop | None,
    size: int,
    area: tuple[float, float] | None = None,
    offsets: CropOffsets = "round",
    *,
    whole_frames: bool = False,
) -> RandomCrop | None:
    """Returns the crop of training clips that settings name.

    Args:
        name: Name of the crop; None for multi-scale crops, or for none with whole frames.
        size: Side of the square in pixels.
        area: Range of the share of a frame's area; None for 0.08 to 1.
        offsets: Rounding of the positions of multi-scale crops.
        whole_frames: Whether clips show whole frames if no crop is named.

    Returns:
        The crop; None for whole frames.

    Raises:
        UserError: If an area is given, but the crop is not `random_resized`.
    """
    if area is not None and name != "random_resized":
        raise UserError(
            f"clips.crop_area is {list(area)}, but only random resized crops have a range of areas: set "
            "clips.training_crop to random_resized, or unset clips.crop_area."
        )
    if name == "random_resized":
        return RandomResizedCrop(area or _WHOLE_RANGE)
    if name == "center":
        return CenterCrop(size)
    return None if whole_frames else MultiScaleCrop(offsets=offsets)


def _draw(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _uniform(low: float, high: float, generator: Generator) -> float:
    return float(torch.empty(1).uniform_(low, high, generator=generator))
