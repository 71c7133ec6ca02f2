"""Dual encoders for videos, and their weights."""

from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.clip_record import write_clip_record
from ost_lightning.models.checkpoints.initial_weights import check_weights_match
from ost_lightning.models.checkpoints.renamed_weights import use_current_names
from ost_lightning.models.checkpoints.weights_digest import weights_digest
from ost_lightning.models.constructor_settings import constructor_settings, plain
from ost_lightning.models.cross_frame import CrossFrameVideoCLIP
from ost_lightning.models.encoders import CPUPrecision, DualEncoder, Preprocessing, use_cpu_precision
from ost_lightning.models.ensembling import add_to_average, ensemble_weights, exchanged_weights
from ost_lightning.models.fingerprints import ClipKeys, file_state, frame_fingerprint, mixture_fingerprint
from ost_lightning.models.finite_weights import require_finite_weights
from ost_lightning.models.logit_scale import LogitScale, Scores
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.models.parameter_names import matching_names
from ost_lightning.models.prompts import (
    AffixPrompts,
    ClassContexts,
    PromptedVideoCLIP,
    TextPrompts,
    VideoPrompts,
    VisionPrompts,
)
from ost_lightning.models.side_networks import DiSTNetwork, SideNetwork, SideTunedVideoCLIP
from ost_lightning.models.temporal_context import ContextualVideoCLIP, TemporalContext
from ost_lightning.models.temporal_heads import MeanPooling, PlainTemporalTransformer, TemporalHead, TemporalTransformer
from ost_lightning.models.token_count import token_count
from ost_lightning.models.tokenized_sentences import TokenizedSentences
from ost_lightning.models.video_clip import (
    DescriptorEmbeddings,
    FrameEmbeddings,
    VideoCLIP,
)

__all__ = [
    "AdaptedVideoCLIP",
    "AffixPrompts",
    "CPUPrecision",
    "CheckpointError",
    "ClassContexts",
    "ClipKeys",
    "ContextualVideoCLIP",
    "CrossFrameVideoCLIP",
    "DescriptorEmbeddings",
    "DiSTNetwork",
    "DualEncoder",
    "FrameEmbeddings",
    "LoRA",
    "LogitScale",
    "MeanPooling",
    "PlainTemporalTransformer",
    "Preprocessing",
    "PromptedVideoCLIP",
    "Scores",
    "SideNetwork",
    "SideTunedVideoCLIP",
    "TemporalContext",
    "TemporalHead",
    "TemporalTransformer",
    "TextPrompts",
    "TokenizedSentences",
    "VideoCLIP",
    "VideoPrompts",
    "VisionPrompts",
    "add_to_average",
    "check_weights_match",
    "constructor_settings",
    "ensemble_weights",
    "exchanged_weights",
    "file_state",
    "frame_fingerprint",
    "matching_names",
    "mixture_fingerprint",
    "plain",
    "require_finite_weights",
    "token_count",
    "use_cpu_precision",
    "use_current_names",
    "weights_digest",
    "write_clip_record",
]
