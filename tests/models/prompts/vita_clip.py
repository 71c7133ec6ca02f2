"""The released Vita-CLIP at a tiny size, from a file in its authors' layout."""

from functools import partial
from pathlib import Path
from typing import Any

from ost_lightning.models import ClassContexts, MeanPooling, PromptedVideoCLIP, VideoPrompts
from ost_lightning.text import LabelSpace
from tests.models.released import Released, converted

KINDS = {"summary": (".summary_", ".cls_proj."), "local": (".local_prompts",), "global_prompts": (".global_prompts",)}
"""What the names of each kind of prompts contain."""


def labels(released: Released) -> LabelSpace:
    """The classes that the contexts belong to."""
    return LabelSpace(tuple(released.names()))


def build(released: Released, folder: Path, **prompts: Any) -> PromptedVideoCLIP:
    """Builds the authors' model with the authors' weights.

    Args:
        released: Weights and sizes.
        folder: Empty folder.
        prompts: Kinds of prompts that are left out, in the file as well.
    """
    number = released.number
    absent = {part for name in prompts for part in KINDS[name]}
    if "summary" in prompts and "local" not in prompts:
        absent.remove(".cls_proj.")
    weights = {name: t for name, t in released.part("state/").items() if not any(part in name for part in absent)}
    found = converted(weights, folder, (number("heads"), number("th")), key="model", classes=labels(released).names)
    assert (found.layout, found.overlay) == ("vita_clip", "vita_clip")
    settings = {"frames": number("frames"), "global_prompts": number("G"), **prompts}
    assert found.settings == {
        **{f"vision_prompts.{name}": value for name, value in settings.items()},
        "text_prompts.contexts_per_class": number("M"),
    }
    return PromptedVideoCLIP(
        str(folder / "converted"),
        freeze_vision=True,
        freeze_text=True,
        text_prompts=partial(ClassContexts, contexts_per_class=number("M")),
        vision_prompts=partial(VideoPrompts, **settings),
        temporal_head=MeanPooling,
    ).train()
