"""Checkpoints of ActionCLIP and Text4Vis: a transformer over the frames of a CLIP."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from torch import Tensor

from ost_lightning.models.checkpoints.layouts.base import Entry, ReleasedLayout, blocks, depth

_HEAD: Final = "fusion_model."
_BLOCKS: Final = f"{_HEAD}transformer.resblocks"
_POSITIONS: Final = f"{_HEAD}frame_position_embeddings.weight"


class FrameTransformerLayout(ReleasedLayout):
    """Names of the checkpoints of ActionCLIP, and of Text4Vis, whose text tower is frozen and not in them."""

    name = "frame_transformer"

    def recognizes(self, names: Collection[str]) -> bool:
        """Whether there are tensors of `fusion_model`."""
        return any(name.startswith(_HEAD) for name in names)

    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Yields positions and blocks of the head."""
        yield Entry(_POSITIONS, "temporal_head", ("positions.weight",))
        yield from blocks(_BLOCKS, "temporal_head", "blocks", max(1, depth(tensors, _BLOCKS)))

    def overlay(self, tensors: Mapping[str, Tensor]) -> str:
        """Returns ActionCLIP's overlay, or that of Text4Vis if there is no text tower."""
        return "action_clip" if "token_embedding.weight" in tensors else "text4vis"

    def settings(self, tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Returns layers and positions of the head."""
        positions = {"temporal_head.positions": len(tensors[_POSITIONS])} if _POSITIONS in tensors else {}
        return {"temporal_head.layers": depth(tensors, _BLOCKS), **positions}
