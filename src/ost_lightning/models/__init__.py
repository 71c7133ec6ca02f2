"""Dual encoders on videos, and their weights."""

from ost_lightning.errors import CheckpointError
from ost_lightning.models.cached_clips import CachedClips
from ost_lightning.models.checkpoints.initial_weights import refuse_other_weights
from ost_lightning.models.checkpoints.renamed_weights import use_current_names
from ost_lightning.models.checkpoints.weights_digest import weights_digest
from ost_lightning.models.embedding_cache import EmbeddingCache, EmbeddingCacheWarning
from ost_lightning.models.encoders import DualEncoder, Preprocessing
from ost_lightning.models.ensembling import ensemble_weights, exchanged_weights
from ost_lightning.models.fingerprints import ClipKeys, frame_fingerprint, mixture_fingerprint
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.models.temporal_heads import MeanPooling, TemporalHead, TemporalTransformer
from ost_lightning.models.token_count import token_count
from ost_lightning.models.tokenized_sentences import TokenizedSentences
from ost_lightning.models.video_clip import (
    DescriptorEmbeddings,
    FrameEmbeddings,
    VideoCLIP,
)

__all__ = [
    "AdaptedVideoCLIP",
    "CachedClips",
    "CheckpointError",
    "ClipKeys",
    "DescriptorEmbeddings",
    "DualEncoder",
    "EmbeddingCache",
    "EmbeddingCacheWarning",
    "FrameEmbeddings",
    "LoRA",
    "MeanPooling",
    "Preprocessing",
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
    "use_current_names",
    "weights_digest",
]
