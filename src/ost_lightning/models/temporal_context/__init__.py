"""Context tokens from all frames of a clip inside the vision tower, and the `VideoCLIP` that has them."""

from ost_lightning.models.temporal_context.context import TemporalContext
from ost_lightning.models.temporal_context.contextual_video_clip import ContextualVideoCLIP
from ost_lightning.models.temporal_context.merging import merge_tokens

__all__ = ["ContextualVideoCLIP", "TemporalContext", "merge_tokens"]
