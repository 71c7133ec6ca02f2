"""`ost toyworld ...`: videos and contact sheets of the rendered world."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Group = Literal["seen", "unseen", "order"]
Split = Literal["train", "test"]
Difficulty = Literal["standard", "hard"]


def render(
    draw: int = 0,
    group: Group = "unseen",
    split: Split = "test",
    clips_per_class: int = 10,
    difficulty: Difficulty = "standard",
) -> None:
    """Renders videos of the rendered world, and prints their folder; training and testing do so automatically.

    Args:
        draw: Draw of classes, 0 to 4.
        group: Group of classes.
        split: Set of videos: train or test, which have no videos in common.
        clips_per_class: Number of videos per class.
        difficulty: Setting of the world.
    """
    from ost_lightning.toyworld.dataset import RenderedPart, render_part

    print(render_part(RenderedPart(draw, group, split, clips_per_class, difficulty)))


def sheet(
    output: Path,
    draw: int = 0,
    group: Group = "unseen",
    classes: Sequence[int] = (0, 1, 2, 3, 4, 8, 12),
    clips_per_class: int = 10,
    difficulty: Difficulty = "standard",
) -> None:  # read only
    """Draws a contact sheet: one video of each of several classes, with descriptors.

    Args:
        output: PNG file to write.
        draw: Draw of classes, 0 to 4.
        group: Group of classes.
        classes: Indices of the classes in the group.
        clips_per_class: Number of videos per class in the rendered set from which the videos are taken.
        difficulty: Setting of the world.
    """
    from ost_lightning.toyworld.contact_sheet import draw_contact_sheet
    from ost_lightning.toyworld.dataset import RenderedPart

    draw_contact_sheet(RenderedPart(draw, group, "test", clips_per_class, difficulty), classes, output)
    print(output)
