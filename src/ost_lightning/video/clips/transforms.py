"""From frames to the model's square: crops and flips while reading, colors on the device, alike for a whole clip.

torchvision is imported by those that change colors or cut three squares: it takes seconds, which processes that only
read do without.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, Literal

import torch
from torch import Generator, Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.video.decoding.frame_source import CropSpec
from ost_lightning.video.decoding.scaling import Box

_MULTI_SCALE: Final = (1.0, 0.875, 0.75, 0.66)
_STRONGEST: Final = 30


class MultiScaleCrop:
    """Crops at one of a few scales and five places (Wang et al., ECCV 2016).

    Height and width are the short side times two scales that stand next to each other in `scales` or are equal; the
    place is a corner or the center.

    Args:
        scales: Shares of the short side, descending.
    """

    def __init__(self, scales: Sequence[float] = _MULTI_SCALE) -> None:
        self.scales = tuple(scales)

    def draw(self, height: int, width: int, generator: Generator) -> Box:
        """Draws one crop for a whole clip.

        Args:
            height: Of the pictures.
            width: Of the pictures.
            generator: Source of randomness.
        """
        sides = [int(min(height, width) * scale) for scale in self.scales]
        pairs = [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1]
        crop_height, crop_width = pairs[_draw(len(pairs), generator)]
        down, across = height - crop_height, width - crop_width
        places = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
        return Box(*places[_draw(len(places), generator)], crop_height, crop_width)


class TrainingTransform(nn.Module):
    """Augments clips: multi-scale crop and flip while reading; RandAugment, color jitter, grayscale on the device.

    Args:
        size: Pixels of the square.
        flip: Probability of mirroring; 0 where left and right are part of a label.
        color_jitter: Probability of changing brightness, contrast and saturation by up to 40, 40 and 20 % and the hue
            by up to 10 %.
        grayscale: Probability of dropping the colors.
        jitter_each_frame: Draw the color jitter anew for every frame, so that the clip flickers, as in the released
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
        color_jitter: float = 0.8,
        grayscale: float = 0.2,
        jitter_each_frame: bool = False,
        scales: Sequence[float] = _MULTI_SCALE,
        rand_augment: tuple[int, int] | None = None,
    ) -> None:
        from torchvision.transforms import v2

        super().__init__()
        if rand_augment is not None and not (rand_augment[0] >= 1 and 0 <= rand_augment[1] <= _STRONGEST):
            raise UserError(
                f"rand_augment is {list(rand_augment)}, but it is a number of operations (at least 1) and a strength "
                f"(0 to {_STRONGEST})."
            )
        self.size, self.flip, self.crop = size, flip, MultiScaleCrop(scales)
        jitter: nn.Module = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
        if jitter_each_frame:
            jitter = _EachFrame(jitter)
        self.changes = v2.Compose(
            [
                *([v2.RandAugment(*rand_augment, num_magnitude_bins=_STRONGEST + 1)] if rand_augment else []),
                v2.RandomApply([jitter], p=color_jitter),
                v2.RandomGrayscale(grayscale),
            ]
        )

    def crop_spec(self, height: int, width: int, generator: Generator) -> CropSpec:
        """Draws the part of the pictures that a clip shows, and whether it is mirrored."""
        box = self.crop.draw(height, width, generator)
        return CropSpec((box,), self.size, flip=bool(torch.rand((), generator=generator) < self.flip))

    def forward(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """Changes each clip in place, all its frames alike.

        Args:
            clips: uint8 (B, V, T, 3, S, S), on any device.
            seeds: B; what is drawn for a clip depends on its seed only.

        Returns:
            The same tensor.
        """
        # only the CPU's generator, which torchvision draws from: seeding all of torch would reset the device's as well
        with torch.random.fork_rng(devices=[]):
            for clip, seed in zip(clips, seeds, strict=True):
                torch.default_generator.manual_seed(seed)
                for view in clip:
                    view.copy_(self.changes(view))
        return clips


class _EachFrame(nn.Module):
    """Applies a random change to every frame by itself."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, clip: Tensor) -> Tensor:
        """(T, 3, H, W) to the same shape."""
        return torch.stack([self.change(frame) for frame in clip])


class EvaluationTransform:
    """Cuts fixed squares: the center, or three along the longer side.

    Args:
        size: Pixels of the square.
        crops: 1 (center) or 3 (start, center, end).
    """

    def __init__(self, size: int, crops: Literal[1, 3] = 1) -> None:
        self.size, self.crops = size, crops

    def crop_spec(self, height: int, width: int) -> CropSpec:
        """The squares of pictures of a height and width.

        Raises:
            UserError: If they are smaller than the square.
        """
        if min(height, width) < self.size:
            raise UserError(
                f"The frames are {height} x {width} pixels, too small for a crop of {self.size}: "
                f"set the clips' short_side to at least their crop_size."
            )
        if self.crops == 3:
            return CropSpec(_three_boxes(height, width, self.size), self.size)
        top, left = round((height - self.size) / 2), round((width - self.size) / 2)
        return CropSpec((Box(top, left, self.size, self.size),), self.size)


@cache
def _three_boxes(height: int, width: int, side: int) -> tuple[Box, ...]:
    """Where pytorchvideo's three crops lie: found by cropping the pixels' coordinates."""
    from ost_lightning.pytorchvideo_compat import uniform_crop

    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))[:, None]
    corners = (uniform_crop(grid, side, place)[:, 0, 0, 0].tolist() for place in range(3))
    return tuple(Box(top, left, side, side) for top, left in corners)


def _draw(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
