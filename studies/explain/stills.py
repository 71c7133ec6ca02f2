"""Stills of the rendered world, with a mask of the prop: the pixels that change when it is not drawn."""

import random
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ost_lightning.toyworld.canvas import Pen
from ost_lightning.toyworld.clips import film
from ost_lightning.toyworld.poses import Pose, pose_of
from ost_lightning.toyworld.scene import Appearance, Scene
from studies.tiny_clip.stills import sample_still

SIDE: Final = 48
"""Height and width of the pixels that the tiny CLIP reads."""
SMALL: Final = 0.08
"""Share of the picture below which a prop counts as small."""
_RESIZED: Final = 54
_HIDDEN: Final = ("dark", "broken", "zoom", "propzoom", "gone")
"""States that hardly show a prop, or nothing else."""
_CHANGED: Final = 12
"""Difference of two colors from which on a pixel belongs to the prop, in levels."""
_SHARES: Final = (0.01, 0.5)
"""Least and largest share of the picture that the prop may cover."""


class _WithoutProp(Scene):
    def _draw_prop(self, pen: Pen, pose: Pose) -> None:
        pass


@dataclass(frozen=True, slots=True, eq=False)
class Stills:
    """Pictures with one prop each.

    Attributes:
        frames: Pixels as the tiny CLIP sees them, uint8 (B, 3, SIDE, SIDE).
        masks: Pixels of the prop, bool (B, SIDE, SIDE).
        appearances: What each picture shows.
    """

    frames: Tensor
    masks: Tensor
    appearances: tuple[Appearance, ...]

    @property
    def boxes(self) -> Tensor:
        """Smallest upright rectangle around each mask, bool (B, SIDE, SIDE)."""
        rows = self.masks.any(2)
        columns = self.masks.any(1)
        return _span(rows)[:, :, None] & _span(columns)[:, None]

    @property
    def small(self) -> Tensor:
        """Whether each prop is small, bool (B,)."""
        return self.masks.float().mean((1, 2)) < SMALL


def draw_stills(count: int, seed: int, *, filmed: bool = False) -> Stills:
    """Draws stills in which a prop can be seen, in any setting, state and color.

    Args:
        count: Number of stills.
        seed: Seed of the stills.
        filmed: Whether they are seen through the camera of the rendered videos: exposure, color cast, blur and noise.
    """
    found: list[tuple[NDArray[np.uint8], NDArray[np.bool_], Appearance]] = []
    number = 0
    while len(found) < count:
        picture, mask, appearance = _draw(f"pointing {seed} {number}", filmed)
        number += 1
        if _SHARES[0] < mask.mean() < _SHARES[1]:
            found.append((picture, mask, appearance))
    pictures, masks, appearances = zip(*found, strict=True)
    frames = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Stills(frames, torch.from_numpy(np.stack(masks)), appearances)


def _draw(seed: str, filmed: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Appearance]:
    rng = random.Random(seed)
    still = sample_still(rng)
    while still.state in _HIDDEN:
        still = sample_still(rng)

    def drawn(kind: type[Scene]) -> Image.Image:
        own = random.Random(f"{seed} scene")
        scene = kind(still.appearance, own)
        return scene.draw(pose_of(still.state, own), own)

    whole, without = drawn(Scene), drawn(_WithoutProp)
    changed = np.abs(np.asarray(whole, np.int16) - np.asarray(without, np.int16)).max(-1) > _CHANGED
    mask = np.asarray(_square(Image.fromarray(changed.astype(np.uint8) * 255))) > 127
    picture = Image.fromarray(film([whole], rng)[0]) if filmed else whole
    return np.asarray(_square(picture)), mask, still.appearance


def _square(picture: Image.Image) -> Image.Image:
    """Resizes and crops as the tiny CLIP's preprocessing does."""
    edge = (_RESIZED - SIDE) // 2
    return picture.resize((_RESIZED, _RESIZED), Image.Resampling.BICUBIC).crop((edge, edge, edge + SIDE, edge + SIDE))


def _span(line: Tensor) -> Tensor:
    """Returns whether each place lies between the first and the last true one, (B, n)."""
    return line.long().cummax(1).values.bool() & line.flip(1).long().cummax(1).values.flip(1).bool()
