"""Checkpoints of X-CLIP in its authors' names; those on the hub have names of Hugging Face."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from torch import Tensor
from transformers import CLIPConfig, PretrainedConfig

from ost_lightning.models.checkpoints.layouts.base import Entry, ReleasedLayout, affine, depth
from ost_lightning.models.encoders import StatisticsName

_POSITIONS: Final = "mit.positional_embedding"
_VISION: Final = "visual.transformer.resblocks"
_INTEGRATION: Final = "mit.resblocks"
_PROMPTS: Final = "prompts_generator.decoder"
_INTEGRATION_NAMES: Final = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


class CrossFrameLayout(ReleasedLayout):
    """Names of X-CLIP's checkpoints."""

    name = "x_clip"
    statistics: ClassVar[StatisticsName] = "imagenet"

    def recognizes(self, names: Collection[str]) -> bool:
        """Whether there is a transformer that integrates frames."""
        return _POSITIONS in names and any(name.startswith("visual.") for name in names)

    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Yields what relates frames, integrates them and prompts texts."""
        for layer in range(depth(tensors, _VISION)):
            released, name = f"{_VISION}.{layer}", f"vision_model.encoder.layers.{layer}"
            for part in ("message_fc", "message_ln", "message_attn.out_proj"):
                yield from affine(f"{released}.{part}", "encoder", f"{name}.{part}")
            yield from _stacked(f"{released}.message_attn", f"{name}.message_attn")
        yield Entry(_POSITIONS, "encoder", ("mit.position_embedding",))
        for layer in range(depth(tensors, _INTEGRATION)):
            released, name = f"{_INTEGRATION}.{layer}", f"mit.encoder.layers.{layer}"
            for theirs, ours in _INTEGRATION_NAMES.items():
                yield from affine(f"{released}.{theirs}", "encoder", f"{name}.{ours}")
            yield from _stacked(f"{released}.attn", f"{name}.self_attn")
        yield from affine("prompts_visual_ln", "encoder", "prompts_visual_layernorm")
        yield Entry("prompts_visual_proj", "encoder", ("prompts_visual_projection",))
        yield from affine("prompts_generator.norm", "encoder", "prompts_generator.layernorm")
        yield Entry("prompts_generator.alpha", "encoder", ("prompts_generator.alpha",))
        for layer in range(depth(tensors, _PROMPTS)):
            same = f"{_PROMPTS}.{layer}"
            for part in ("cross_attn.proj", "norm1", "norm3", "mlp.0", "mlp.3"):
                yield from affine(f"{same}.{part}", "encoder", f"{same}.{part}")
            for part in "qkv":
                name = f"{same}.cross_attn.{part}_proj.weight"
                yield Entry(name, "encoder", (name,))

    def frames(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of positions of frames."""
        return tensors[_POSITIONS].shape[-2]

    def encoder_config(self, clip: CLIPConfig, tensors: Mapping[str, Tensor]) -> PretrainedConfig:
        """Returns the configuration of an X-CLIP."""
        from ost_lightning.models.encoders.x_clip import x_clip_config  # its architecture takes a second to import

        return x_clip_config(
            clip,
            frames=tensors[_POSITIONS].shape[-2],
            integration_layers=depth(tensors, _INTEGRATION),
            prompt_layers=depth(tensors, _PROMPTS),
        )

    def encoder_name(self, clip: str) -> str:
        """Returns the name of a weight of HF's CLIP in HF's X-CLIP."""
        return clip.replace("pre_layrnorm", "pre_layernorm")


def _stacked(released: str, name: str) -> Iterator[Entry]:
    """Yields queries, keys and values, which are one tensor in the checkpoint."""
    for kind in ("weight", "bias"):
        names = tuple(f"{name}.{part}_proj.{kind}" for part in "qkv")
        yield Entry(f"{released}.in_proj_{kind}", "encoder", names, _thirds)


def _thirds(stacked: Tensor) -> Sequence[Tensor]:
    return stacked.tensor_split(3)
