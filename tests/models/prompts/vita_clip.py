"""The released Vita-CLIP at a tiny size, from its authors' weights."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ost_lightning.models import ClassContexts, MeanPooling, PromptedVideoCLIP, VideoPrompts
from ost_lightning.text import LabelSpace
from tests.models.released import Released, Sizes, openai_clip, write

_BLOCK = {"norm1": "ln_1", "norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
_VISION = {
    "cls_token": "class_embedding",
    "pos_embed": "positional_embedding",
    "patch_embed.proj.weight": "conv1.weight",
}


def labels(released: Released) -> LabelSpace:
    """The classes that the contexts belong to."""
    return LabelSpace(tuple(released.names()))


def build(released: Released, folder: Path, **prompts: Any) -> PromptedVideoCLIP:
    """Builds the authors' model with the authors' weights.

    Args:
        released: Weights and sizes.
        folder: Empty folder.
        prompts: Settings of the video prompts that differ from the authors'.
    """
    number = released.number
    vision = (number("width"), number("heads"), number("layers"))
    text = (number("tw"), number("th"), number("tl"))
    sizes = Sizes(vision, text, number("embed"), number("vocabulary"), number("size"), number("patch"))
    clip = openai_clip(_openai(released.part("state/"), number("layers")), sizes)
    settings = {"frames": number("frames"), "global_prompts": number("G"), **prompts}
    model = PromptedVideoCLIP(
        str(write(clip, folder)),
        freeze_vision=True,
        freeze_text=True,
        text_prompts=partial(ClassContexts, contexts_per_class=number("M")),
        vision_prompts=partial(VideoPrompts, **settings),
        temporal_head=MeanPooling,
    )
    assert isinstance(model.text_prompts, ClassContexts)
    assert isinstance(model.vision_prompts, VideoPrompts)
    model.set_training_classes(labels(released))
    with torch.no_grad():
        model.text_prompts.contexts.copy_(released["state/prompt_learner.ctx"])
    ours = {name: weight for theirs in released.part("state/") for name, weight in our_prompts(released, theirs)}
    wanted = model.vision_prompts.state_dict().keys()
    model.vision_prompts.load_state_dict({name: weight for name, weight in ours.items() if name in wanted})
    return model.train()


def our_prompts(released: Released, name: str, prefix: str = "state/") -> list[tuple[str, Tensor]]:
    """Returns a tensor of the released video prompts under our names; empty for other tensors."""
    tensor = released[prefix + name]
    if name == "visual.time_embed":
        return [("times", tensor)]
    if name == "visual.global_prompts":
        return [(f"layers.{layer}.global_prompts", rows) for layer, rows in enumerate(tensor)]
    found = re.fullmatch(r"visual\.blocks\.(\d+)\.(cls_proj|summary_ln|summary_attn_layer|local_prompts)\.?(.*)", name)
    if found is None:
        return []
    layer, part, rest = found.groups()
    names = {"cls_proj": "projection", "summary_ln": "summary_norm", "summary_attn_layer": "summary_attention"}
    if part == "local_prompts":
        return [(f"layers.{layer}.local_prompts", tensor[0])]
    return [(f"layers.{layer}.{names[part]}.{rest}", tensor)]


def _openai(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Returns CLIP's own weights under OpenAI's names."""
    found = {name.removeprefix("textual."): weight for name, weight in state.items() if name.startswith("textual.")}
    found["logit_scale"] = state["logit_scale"]
    for name, weight in state.items():
        plain = name.removeprefix("visual.")
        if name.startswith("visual.") and not plain.startswith("blocks."):
            found[f"visual.{_VISION.get(plain, plain)}"] = weight
    for layer in range(layers):
        block, target = f"visual.blocks.{layer}", f"visual.transformer.resblocks.{layer}"
        for part in ("weight", "bias"):
            stacked = [state[f"{block}.attn.{one}_proj.{part}"] for one in "qkv"]
            found[f"{target}.attn.in_proj_{part}"] = torch.cat(stacked)
            found[f"{target}.attn.out_proj.{part}"] = state[f"{block}.attn.out_proj.{part}"]
            for theirs, openai in _BLOCK.items():
                found[f"{target}.{openai}.{part}"] = state[f"{block}.{theirs}.{part}"]
    return found
