"""`ost toyworld ...`: videos and pictures of the rendered world."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Group = Literal["seen", "unseen", "order"]
Split = Literal["train", "test"]


def render(draw: int = 0, group: Group = "unseen", split: Split = "test", clips_per_class: int = 10) -> None:
    """Renders videos of the world and prints their folder; training and testing do it by themselves when needed.

    Args:
        draw: Draw of classes, 0 to 4.
        group: Group of classes.
        split: Set of videos; those of training and test differ.
        clips_per_class: Number of videos per class.
    """
    from ost_lightning.toyworld.dataset import RenderedPart, render_part

    print(render_part(RenderedPart(draw, group, split, clips_per_class)))


def sheet(
    output: Path,
    draw: int = 0,
    group: Group = "unseen",
    classes: Sequence[int] = (0, 1, 2, 3, 4, 8, 12),
    clips_per_class: int = 10,
) -> None:  # read only
    """Draws one video of each of some classes, with their descriptors, as a picture.

    Args:
        output: PNG to write.
        draw: Draw of classes, 0 to 4.
        group: Group of classes.
        classes: Their places in the group.
        clips_per_class: Size of the part that the videos are taken from.
    """
    from ost_lightning.toyworld.clips import FRAMES
    from ost_lightning.toyworld.contact_sheet import draw_contact_sheet
    from ost_lightning.toyworld.dataset import RenderedPart

    draw_contact_sheet(RenderedPart(draw, group, "test", clips_per_class), classes, output, FRAMES)
    print(output)
