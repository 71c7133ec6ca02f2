"""What a checkpoint expects of the pixels that it is given."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How frames become the square pictures that a vision tower reads.

    Attributes:
        image_size: Side of the square, in pixels.
        mean: Mean of red, green and blue that is subtracted, 0 to 1.
        std: Standard deviation of red, green and blue that is divided by, 0 to 1.
        resize: `shortest_side` keeps the aspect ratio and crops; `squash` scales the whole frame to the square.
        filter: Interpolation of the resizing.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["shortest_side", "squash"] = "shortest_side"
    filter: Literal["bicubic", "bilinear"] = "bicubic"
