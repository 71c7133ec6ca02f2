"""Released checkpoints of other systems: a CLIP, and the parts that they train beside it."""

from collections.abc import Iterable
from typing import Final

from ost_lightning.models.checkpoints.layouts.affix_prompts import AffixPromptsLayout
from ost_lightning.models.checkpoints.layouts.base import Entry, ReleasedLayout
from ost_lightning.models.checkpoints.layouts.cross_frame import CrossFrameLayout
from ost_lightning.models.checkpoints.layouts.frame_transformer import FrameTransformerLayout
from ost_lightning.models.checkpoints.layouts.side_network import SideNetworkLayout
from ost_lightning.models.checkpoints.layouts.video_prompts import VideoPromptsLayout

LAYOUTS: Final[tuple[ReleasedLayout, ...]] = (
    AffixPromptsLayout(),
    VideoPromptsLayout(),
    SideNetworkLayout(),
    CrossFrameLayout(),
    FrameTransformerLayout(),
)

__all__ = ["LAYOUTS", "Entry", "ReleasedLayout", "layout_with_parts", "plain_name"]


def layout_with_parts(names: Iterable[str]) -> ReleasedLayout | None:
    """Returns the layout of a checkpoint that has parts beside a CLIP; None for a plain CLIP, or an unknown layout.

    Args:
        names: Names of the checkpoint's tensors.
    """
    plain = {plain_name(name) for name in names}
    return next((layout for layout in LAYOUTS if layout.recognizes(plain)), None)


def plain_name(name: str) -> str:
    """Returns a tensor's name without the prefixes that wrappers of a model add."""
    for prefix in ("module.", "backbone.base_encoder."):
        name = name.removeprefix(prefix)
    return name
