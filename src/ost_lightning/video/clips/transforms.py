"""From frames to the model's square input: crops and flips while reading, color changes on the device.

All frames of a clip are transformed alike. torchvision takes seconds to import, so only functions that change colors or
compute three crops import it; processes that only read videos do not need it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, Literal, get_args

import torch
from torch import Generator, Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.lean_imports.stand_ins import resolve_without_compiler
from ost_lightning.video.clips.rand_augment import RandAugmentSetting, clip_rand_augment
from ost_lightning.video.clips.random_crops import CropOffsets, MultiScaleCrop, RandomCrop, center_box
from ost_lightning.video.decoding.frame_source import CropSpec
from ost_lightning.video.decoding.scaling import Box

Framing = Literal["crop", "squash"]
"""How a frame becomes a square: `crop` takes a square part of it, `squash` scales the whole frame."""
_LARGEST_RATIO: Final = 2
"""Ratio of short side to crop size above which a crop shows too little of the frame."""


def check_crop_size(crop_size: int, short_side: int, framing: Framing = "crop") -> None:
    """Checks that evaluation crops fit into the frames and show enough of them.

    Args:
        crop_size: Side of the square crop in pixels.
        short_side: Length of the frames' shorter side in pixels after resizing.
        framing: How a frame becomes a square; squashed frames always fit.

    Raises:
        UserError: If the crop is larger than the short side, or smaller than half of it.
    """
    if framing == "squash":
        return
    advice = f"leave clips.short_side out, or set it to about {round(crop_size * 8 / 7)}."
    if short_side < crop_size:
        raise UserError(
            f"clips.short_side is {short_side}, too small for a crop of {crop_size} (clips.crop_size): {advice}"
        )
    if crop_size * _LARGEST_RATIO < short_side:
        raise UserError(
            f"clips.crop_size is {crop_size} with frames of clips.short_side {short_side}, so that a crop shows "
            f"{100 * crop_size / short_side:.0f} % of a frame's height: {advice}"
        )


class TrainingTransform(nn.Module):
    """Augments clips: crop and flip while reading; RandAugment, color jitter, grayscale on the device.

    With `rand_augment_before_crop`, RandAugment changes the whole frames while they are read.

    Args:
        size: Side of the square in pixels.
        flip: Probability of mirroring; use 0 if labels distinguish left and right.
        color_jitter: Probability of changing brightness, contrast and saturation by up to 40, 40 and 20 % and the hue
            by up to 10 %.
        grayscale: Probability of dropping the colors.
        jitter_each_frame: Whether to draw the color jitter anew for every frame, so that the clip flickers, as in the
            released code; otherwise all frames of a clip change in the same way.
        rand_augment: Number of torchvision's RandAugment operations per clip and their magnitude, 0 to 30, such as
            (2, 9) in the fully supervised recipe; or a configuration of timm; None for no RandAugment.
        rand_augment_before_crop: Whether RandAugment changes whole frames, from which crops are then taken.
        crop: Crop of the clips; None for multi-scale crops, or the whole frame scaled to the square with `squash`.
        framing: Framing of clips without a `crop`: `crop` for multi-scale crops, `squash` for the whole frame.

    Raises:
        UserError: If an argument is outside its range.
    """

    def __init__(
        self,
        size: int,
        *,
        flip: float = 0.5,
        color_jitter: float = 0.8,
        grayscale: float = 0.2,
        jitter_each_frame: bool = False,
        rand_augment: RandAugmentSetting | None = None,
        rand_augment_before_crop: bool = False,
        crop: RandomCrop | None = None,
        framing: Framing = "crop",
    ) -> None:
        super().__init__()
        v2 = resolve_without_compiler("torchvision.transforms.v2")
        _check_framing(framing)
        augment = clip_rand_augment(rand_augment) if rand_augment is not None else None
        self.before_crop = augment if rand_augment_before_crop else None
        self.size, self.flip = size, flip
        self.crop = crop if crop is not None or framing == "squash" else MultiScaleCrop()
        jitter: nn.Module = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
        if jitter_each_frame:
            jitter = _EachFrame(jitter)
        self.changes = v2.Compose(
            [
                *([augment] if augment is not None and not rand_augment_before_crop else []),
                v2.RandomApply([jitter], p=color_jitter),
                v2.RandomGrayscale(grayscale),
            ]
        )

    def crop_spec(self, height: int, width: int, generator: Generator) -> CropSpec:
        """Draws the part of the frames that a clip shows, and whether it is mirrored.

        Args:
            height: Height of the frames in pixels.
            width: Width of the frames in pixels.
            generator: Source of randomness.
        """
        box = Box(0, 0, height, width) if self.crop is None else self.crop.draw(height, width, generator)
        return CropSpec((box,), self.size, flip=bool(torch.rand((), generator=generator) < self.flip))

    @property
    def changes_frames(self) -> bool:
        """Whether whole frames are changed before crops are taken from them."""
        return self.before_crop is not None

    def change_frames(self, frames: Tensor, seed: int) -> Tensor:
        """Changes the whole frames of a clip, all in the same way.

        Args:
            frames: uint8 (T, 3, H, W), on the CPU.
            seed: Seed of the clip, which the random numbers depend on.

        Returns:
            The same shape.
        """
        if self.before_crop is None:
            return frames
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed ^ 1)  # other numbers than those that change crops
            changed: Tensor = self.before_crop(frames)
        return changed

    def forward(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """Augments each clip in place, all its frames in the same way.

        Args:
            clips: uint8 (B, V, T, 3, S, S), on any device.
            seeds: B seeds; the random numbers for a clip depend on its seed only.

        Returns:
            The same tensor.
        """
        # only the CPU's generator, which torchvision uses: seeding all of torch would also reset the device's
        with torch.random.fork_rng(devices=[]):
            for clip, seed in zip(clips, seeds, strict=True):
                torch.default_generator.manual_seed(seed)
                for view in clip:
                    view.copy_(self.changes(view))
        return clips


class _EachFrame(nn.Module):
    """Applies a random change to each frame separately."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, clip: Tensor) -> Tensor:
        """Changes frames (T, 3, H, W)."""
        return torch.stack([self.change(frame) for frame in clip])


class EvaluationTransform:
    """Chooses fixed crops: the center, three along the longer side, or the whole frame squashed to the square.

    Args:
        size: Side of the square in pixels.
        crops: Number of crops per frame: 1 (center) or 3 (start, center, end).
        framing: `crop` for crops, `squash` for the whole frame scaled to the square.
        offsets: Rounding of the positions of crops.

    Raises:
        UserError: If several crops of squashed frames are requested.
    """

    def __init__(
        self, size: int, crops: Literal[1, 3] = 1, framing: Framing = "crop", offsets: CropOffsets = "round"
    ) -> None:
        _check_framing(framing)
        if framing == "squash" and crops != 1:
            raise UserError(
                f"{crops} crops were requested, but a squashed frame has only one: set clips.crops to 1, or "
                f"clips.framing to crop."
            )
        self.size, self.crops, self.framing, self.offsets = size, crops, framing, offsets

    def crop_spec(self, height: int, width: int) -> CropSpec:
        """Returns the crops of frames of a height and width.

        Args:
            height: Height of the frames in pixels.
            width: Width of the frames in pixels.

        Raises:
            UserError: If the crops don't fit into the frames, or show too little of them.
        """
        if self.framing == "squash":
            return CropSpec((Box(0, 0, height, width),), self.size)
        check_crop_size(self.size, min(height, width))
        if self.offsets == "floor":
            boxes = _boxes_rounded_down(height, width, self.size, self.crops)
        elif self.crops == 3:
            boxes = _three_boxes(height, width, self.size)
        else:
            boxes = (center_box(height, width, self.size),)
        return CropSpec(boxes, self.size)


@cache
def _three_boxes(height: int, width: int, side: int) -> tuple[Box, ...]:
    """Boxes of pytorchvideo's three crops, found by cropping the pixels' coordinates."""
    from ost_lightning.pytorchvideo_compat import uniform_crop

    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))[:, None]
    corners = (uniform_crop(grid, side, position)[:, 0, 0, 0].tolist() for position in range(3))
    return tuple(Box(top, left, side, side) for top, left in corners)


def _boxes_rounded_down(height: int, width: int, side: int, crops: int) -> tuple[Box, ...]:
    """Crops of mmaction2's `CenterCrop` and `ThreeCrop`, in the order start, center, end along the longer side.

    The three crops are one step of whole pixels apart; across the longer side they are centered, where mmaction2
    refuses frames that are larger than the crop.
    """
    down, right = (height - side) // 2, (width - side) // 2
    if crops == 1:
        return (Box(down, right, side, side),)
    if height > width:
        return tuple(Box(step * down, right, side, side) for step in range(3))
    return tuple(Box(down, step * right, side, side) for step in range(3))


def _check_framing(framing: str) -> None:
    if framing not in get_args(Framing):
        raise UserError(f"framing is '{framing}'; expected one of {', '.join(get_args(Framing))}.")
