"""CLIP on videos, and its weights."""

from ost_lightning.models.checkpoints.fingerprints import ClipKeys, frame_fingerprint, mixture_fingerprint
from ost_lightning.models.checkpoints.initial_weights import CheckpointError, refuse_other_weights
from ost_lightning.models.checkpoints.weights_digest import weights_digest
from ost_lightning.models.ensembling import ensemble_weights, exchanged_weights
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.models.temporal_heads import MeanPooling, TemporalHead, TemporalTransformer
from ost_lightning.models.token_count import token_count
from ost_lightning.models.video_clip import (
    DescriptorEmbeddings,
    FrameEmbeddings,
    TokenizedSentences,
    VideoCLIP,
)
from ost_lightning.models.x_clip import XCLIP

__all__ = [
    "XCLIP",
    "AdaptedVideoCLIP",
    "CheckpointError",
    "ClipKeys",
    "DescriptorEmbeddings",
    "FrameEmbeddings",
    "LoRA",
    "MeanPooling",
    "TemporalHead",
    "TemporalTransformer",
    "TokenizedSentences",
    "VideoCLIP",
    "ensemble_weights",
    "exchanged_weights",
    "frame_fingerprint",
    "mixture_fingerprint",
    "refuse_other_weights",
    "token_count",
    "weights_digest",
]
