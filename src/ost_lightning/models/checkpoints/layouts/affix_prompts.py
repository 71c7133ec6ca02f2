"""Checkpoints of A5: learned vectors around each name, and a transformer over the frames."""

from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar, Final, Literal

from torch import Tensor

from ost_lightning.models.checkpoints.layouts.base import Entry, ReleasedLayout, blocks, depth

_CLIP: Final = "clipmodel."
_HEAD: Final = "temporalModelling.resblocks"
_POSITIONS: Final = "temporalEmbedding.weight"


class AffixPromptsLayout(ReleasedLayout):
    """Names of A5's checkpoints. The numbers of vectors before and after a name are not in them."""

    name = "a5"
    filter: ClassVar[Literal["bicubic", "bilinear"]] = "bicubic"
    short_side_ratio: ClassVar[float] = 1.0

    def recognizes(self, names: Collection[str]) -> bool:
        """Whether there are tensors of the prompts and of `clipmodel`."""
        return "embedding.weight" in names and any(name.startswith(_CLIP) for name in names)

    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Yields the table of vectors, and the head, which a model without temporal part lacks."""
        yield Entry("embedding.weight", "text_prompts", ("table.weight",))
        if layers := depth(tensors, _HEAD):
            yield Entry(_POSITIONS, "temporal_head", ("positions.weight",))
            yield from blocks(_HEAD, "temporal_head", "blocks", layers)

    def clip_tensors(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
        """Returns the tensors of `clipmodel`, without this prefix."""
        found = {name: tensor for name, tensor in tensors.items() if name.startswith(_CLIP)}
        return {name.removeprefix(_CLIP): tensor for name, tensor in found.items()}, set(found)

    def frames(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of positions of the head."""
        return len(tensors[_POSITIONS]) if _POSITIONS in tensors else None

    def settings(self, tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Returns layers and positions of the head."""
        if not (layers := depth(tensors, _HEAD)):
            return {"temporal_head": "MeanPooling"}
        return {"temporal_head.layers": layers, "temporal_head.positions": self.frames(tensors)}
