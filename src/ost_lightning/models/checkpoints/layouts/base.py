"""What a layout of released checkpoints says: which tensor is which, and the settings that follow from shapes."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from torch import Tensor
from transformers import CLIPConfig, PretrainedConfig

from ost_lightning.models.checkpoints.part_files import PartName
from ost_lightning.models.encoders import StatisticsName

_CLIP: Final = re.compile(
    r"visual\.|transformer\.|token_embedding\.|ln_final\.|(positional_embedding|text_projection|logit_scale)$"
)
_BLOCK: Final = {
    "attn.in_proj_weight": "self_attn.in_proj_weight",
    "attn.in_proj_bias": "self_attn.in_proj_bias",
    "attn.out_proj.*": "self_attn.out_proj.*",
    "ln_1.*": "norm1.*",
    "ln_2.*": "norm2.*",
    "mlp.c_fc.*": "linear1.*",
    "mlp.c_proj.*": "linear2.*",
}


def as_it_is(tensor: Tensor) -> Sequence[Tensor]:
    """Returns a tensor that is the same here, as the only one of an entry."""
    return (tensor,)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a checkpoint, and where it belongs.

    Attributes:
        released: Name in the checkpoint.
        part: Part that it belongs to; `encoder` for the pre-trained model's own file.
        names: Name in that part, or several where the checkpoint stacks tensors.
        change: Function that returns one tensor per name.
    """

    released: str
    part: PartName | Literal["encoder"]
    names: tuple[str, ...]
    change: Callable[[Tensor], Sequence[Tensor]] = as_it_is


class ReleasedLayout(ABC):
    """Names and shapes of one system's checkpoints.

    Attributes:
        name: Name of the layout, as in the table of the documentation.
        statistics: Pixel statistics of the training.
        filter: Interpolation of the training, for resizing frames.
        short_side_ratio: Shorter side of the frames before cropping, in image sizes.
    """

    name: ClassVar[str]
    statistics: ClassVar[StatisticsName] = "clip"
    filter: ClassVar[Literal["bicubic", "bilinear"]] = "bilinear"
    short_side_ratio: ClassVar[float] = 256 / 224

    @abstractmethod
    def recognizes(self, names: Collection[str]) -> bool:
        """Whether tensors of these names are a checkpoint in this layout."""

    @abstractmethod
    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Yields every tensor beside the CLIP that a complete checkpoint of these sizes has."""

    def clip_tensors(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
        """Returns the CLIP's tensors under OpenAI's names, and the names in the checkpoint that they have."""
        others = {entry.released for entry in self.entries(tensors)}
        found = {name: tensor for name, tensor in tensors.items() if name not in others and _CLIP.match(name)}
        return found, set(found)

    def ignores(self, name: str) -> bool:
        """Whether a tensor is known to hold nothing that is learned."""
        return False

    def overlay(self, tensors: Mapping[str, Tensor]) -> str:
        """Returns the name of the overlay in `experiments/baselines` that such weights are for."""
        return self.name

    def frames(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of frames that the model was trained with; None if the checkpoint doesn't say."""
        return None

    def settings(self, tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Returns settings of `video_clip` that the weights need, as far as shapes say them."""
        return {}

    def class_contexts(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of classes that the checkpoint has vectors for; None if it knows no class."""
        return None

    def encoder_config(self, clip: CLIPConfig, tensors: Mapping[str, Tensor]) -> PretrainedConfig:
        """Returns the configuration of the encoder, from that of its CLIP."""
        return clip

    def encoder_name(self, clip: str) -> str:
        """Returns the name of a weight of HF's CLIP in this encoder."""
        return clip


def affine(released: str, part: PartName | Literal["encoder"], name: str) -> Iterator[Entry]:
    """Yields weight and bias of a layer."""
    for kind in ("weight", "bias"):
        yield Entry(f"{released}.{kind}", part, (f"{name}.{kind}",))


def blocks(released: str, part: PartName, name: str, number: int) -> Iterator[Entry]:
    """Yields the tensors of OpenAI's blocks of a transformer, which are those of `nn.TransformerEncoderLayer`."""
    for index in range(number):
        for theirs, ours in _BLOCK.items():
            for kind in ("weight", "bias") if theirs.endswith("*") else ("",):
                names = (f"{name}.{index}.{ours.removesuffix('*')}{kind}",)
                yield Entry(f"{released}.{index}.{theirs.removesuffix('*')}{kind}", part, names)


def depth(names: Collection[str], prefix: str) -> int:
    """Returns the number of layers whose tensors have a prefix, followed by the layer's number."""
    found = (re.match(rf"{re.escape(prefix)}\.(\d+)\.", name) for name in names)
    return max((int(match[1]) + 1 for match in found if match), default=0)
