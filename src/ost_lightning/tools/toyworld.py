"""`ost toyworld ...`: videos and pictures of the rendered world."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ost_lightning.toyworld.pretraining import Recipe

Group = Literal["seen", "unseen", "order"]
Split = Literal["train", "test"]


def pretrain(output: Path, recipe: "Recipe | None" = None, device: str | None = None) -> None:
    """Pre-trains the tiny CLIP on rendered stills: attribute warm-up, then captions and phrases.

    Args:
        output: Folder for the model in HF format, its tokenizer and the training's log.
        recipe: How; the default takes less than half an hour on two cores.
        device: Torch device; a GPU if there is one.
    """
    from ost_lightning.toyworld.pretraining import Recipe
    from ost_lightning.toyworld.pretraining import pretrain as run_pretraining

    scores = run_pretraining(output, recipe or Recipe(), device=device, workers=os.cpu_count() or 1)
    print("zero-shot by text on held-out stills: " + ", ".join(f"{key} {value:.2f}" for key, value in scores.items()))


def render(draw: int = 0, group: Group = "unseen", split: Split = "test", clips_per_class: int = 10) -> None:
    """Renders videos of the world and prints their folder; training and testing do it by themselves when needed.

    Args:
        draw: Draw of classes, 0 to 4.
        group: Which classes.
        split: Training and test videos are different ones.
        clips_per_class: How many.
    """
    from ost_lightning.toyworld.dataset import Part, render_part

    print(render_part(Part(draw, group, split, clips_per_class)))


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
        group: Which classes.
        classes: Their places in the group.
        clips_per_class: Size of the part that the videos are taken from.
    """
    from ost_lightning.toyworld.clips import FRAMES
    from ost_lightning.toyworld.contact_sheet import draw_contact_sheet
    from ost_lightning.toyworld.dataset import Part

    draw_contact_sheet(Part(draw, group, "test", clips_per_class), classes, output, FRAMES)
    print(output)
