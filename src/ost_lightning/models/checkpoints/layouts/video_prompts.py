"""Checkpoints of Vita-CLIP: prompts in every vision layer, and contexts of classes."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.layouts.base import Entry, ReleasedLayout, affine, depth

_BLOCKS: Final = "visual.blocks"
_CONTEXTS: Final = "prompt_learner.ctx"
_GLOBAL: Final = "visual.global_prompts"
_PATCH_BIAS: Final = "visual.patch_embed.proj.bias"
_IGNORED: Final = frozenset({"prompt_learner.token_prefix", "prompt_learner.token_suffix"})
_TEXT: Final = "textual."
_VISION: Final = {
    "visual.cls_token": "visual.class_embedding",
    "visual.pos_embed": "visual.positional_embedding",
    "visual.patch_embed.proj.weight": "visual.conv1.weight",
}
_BLOCK: Final = {"norm1": "ln_1", "norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


class VideoPromptsLayout(ReleasedLayout):
    """Names of Vita-CLIP's checkpoints. Which class a context belongs to is not in them."""

    name = "vita_clip"
    short_side_ratio: ClassVar[float] = 1.0

    def recognizes(self, names: Collection[str]) -> bool:
        """Whether there are blocks under `visual.blocks`, and times of frames."""
        return "visual.time_embed" in names and any(name.startswith(_BLOCKS) for name in names)

    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Yields the prompts of the vision tower that the checkpoint has, and the contexts."""
        layers, (summary, local, everywhere) = depth(tensors, _BLOCKS), _kinds(tensors)
        yield Entry("visual.time_embed", "vision_prompts", ("times",))
        if everywhere:
            names = tuple(f"layers.{layer}.global_prompts" for layer in range(layers))
            yield Entry(_GLOBAL, "vision_prompts", names, lambda stacked: stacked.unbind())
        for layer in range(layers):
            released, name = f"{_BLOCKS}.{layer}", f"layers.{layer}"
            if local:
                names = (f"{name}.local_prompts",)
                yield Entry(f"{released}.local_prompts", "vision_prompts", names, lambda prompts: (prompts.squeeze(0),))
            if local or summary:
                yield from affine(f"{released}.cls_proj", "vision_prompts", f"{name}.projection")
            if summary:
                yield from affine(f"{released}.summary_ln", "vision_prompts", f"{name}.summary_norm")
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    theirs, ours = f"{released}.summary_attn_layer.{part}", f"{name}.summary_attention.{part}"
                    yield from affine(theirs, "vision_prompts", ours)
        if _CONTEXTS in tensors:
            yield Entry(_CONTEXTS, "text_prompts", ("contexts",), _per_class)

    def clip_tensors(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
        """Returns the towers under OpenAI's names; queries, keys and values of a block become one tensor.

        Raises:
            CheckpointError: If the patches have a bias, which no CLIP has.
        """
        if _PATCH_BIAS in tensors and bool(tensors[_PATCH_BIAS].any()):
            raise CheckpointError(f"{_PATCH_BIAS} is not zero, but the patch embedding of a CLIP has no bias.")
        found = {name.removeprefix(_TEXT): t for name, t in tensors.items() if name.startswith(_TEXT)}
        used = {name for name in tensors if name.startswith(_TEXT)} | ({_PATCH_BIAS} & tensors.keys())
        for name, tensor in tensors.items():
            if openai := _openai_name(name):
                found[openai] = tensor
                used.add(name)
        for layer in range(depth(tensors, _BLOCKS)):
            for kind in ("weight", "bias"):
                names = [f"{_BLOCKS}.{layer}.attn.{part}_proj.{kind}" for part in "qkv"]
                if used_names := set(names) & tensors.keys():
                    used |= used_names
                    _require(used_names, names)
                    stacked = torch.cat([tensors[name] for name in names])
                    found[f"visual.transformer.resblocks.{layer}.attn.in_proj_{kind}"] = stacked
        return found, used

    def ignores(self, name: str) -> bool:
        """Whether a tensor repeats the embeddings of words, or projects for prompts that there are none of."""
        return name in _IGNORED or ".cls_proj." in name

    def frames(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of times of frames."""
        return len(tensors["visual.time_embed"])

    def settings(self, tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Returns the numbers and kinds of prompts."""
        summary, local, everywhere = _kinds(tensors)
        found: dict[str, object] = {"vision_prompts.frames": self.frames(tensors)}
        found["vision_prompts.global_prompts"] = tensors[_GLOBAL].shape[1] if everywhere else 0
        found |= {} if summary else {"vision_prompts.summary": False}
        found |= {} if local else {"vision_prompts.local": False}
        if _CONTEXTS in tensors:
            found["text_prompts.contexts_per_class"] = tensors[_CONTEXTS].shape[-2]
            found |= {} if tensors[_CONTEXTS].ndim == 3 else {"text_prompts.class_specific": False}
        return found

    def class_contexts(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of classes with contexts; None if all classes share them."""
        contexts = tensors.get(_CONTEXTS)
        return len(contexts) if contexts is not None and contexts.ndim == 3 else None


def _per_class(contexts: Tensor) -> tuple[Tensor]:
    """Returns contexts (K, M, W), with K = 1 if all classes share them."""
    return (contexts if contexts.ndim == 3 else contexts[None],)


def _kinds(tensors: Mapping[str, Tensor]) -> tuple[bool, bool, bool]:
    """Whether there are summaries, local and global prompts."""
    summary, local = (any(f".{part}" in name for name in tensors) for part in ("summary_ln.", "local_prompts"))
    return summary, local, _GLOBAL in tensors


def _openai_name(name: str) -> str | None:
    """Returns OpenAI's name of a tensor that is one there too; None for others."""
    if name in _VISION:
        return _VISION[name]
    if name == "logit_scale" or re.fullmatch(r"visual\.(ln_pre|ln_post)\.(weight|bias)|visual\.proj", name):
        return name
    if found := re.fullmatch(rf"{re.escape(_BLOCKS)}\.(\d+)\.({'|'.join(_BLOCK)}|attn\.out_proj)\.(weight|bias)", name):
        layer, part, kind = found.groups()
        return f"visual.transformer.resblocks.{layer}.{_BLOCK.get(part, part)}.{kind}"
    return None


def _require(found: set[str], names: list[str]) -> None:
    if missing := sorted(set(names) - found):
        raise CheckpointError(f"The checkpoint lacks {', '.join(missing)}.")
