"""Evaluation: embeddings per set of weights, class probabilities averaged over views, exact counts."""

from ost_lightning.evaluation.batches import SCORED, EmbeddedBatch, EvaluationBatch, KeyedClipBatch, ScoredBatch
from ost_lightning.evaluation.cached_clips import CachedClips
from ost_lightning.evaluation.clip_settings import ClipGeometry, ClipSettings, check_ranges, evaluation_clips
from ost_lightning.evaluation.embedding_cache import EmbeddingCache, EmbeddingCacheWarning
from ost_lightning.evaluation.embedding_store import EmbeddingStore
from ost_lightning.evaluation.evaluation import Evaluation
from ost_lightning.evaluation.frame_orders import FrameOrder, ReversedFrames, ShuffledFrames
from ost_lightning.evaluation.loader import EvaluationLoader, evaluation_loaders, evaluation_sets
from ost_lightning.evaluation.prediction import (
    SHOWN_CLASSES,
    PendingPredictions,
    Prediction,
    prediction_columns,
    prediction_row,
    predictions,
    probabilities_of,
)
from ost_lightning.evaluation.scoring import Scorer, embed, probabilities, similarities
from ost_lightning.evaluation.sets import EvaluationSet
from ost_lightning.evaluation.transductive_cache import TransductiveCache
from ost_lightning.evaluation.weight_sets import WeightSets, mixture_name

__all__ = [
    "SCORED",
    "SHOWN_CLASSES",
    "CachedClips",
    "ClipGeometry",
    "ClipSettings",
    "EmbeddedBatch",
    "EmbeddingCache",
    "EmbeddingCacheWarning",
    "EmbeddingStore",
    "Evaluation",
    "EvaluationBatch",
    "EvaluationLoader",
    "EvaluationSet",
    "FrameOrder",
    "KeyedClipBatch",
    "PendingPredictions",
    "Prediction",
    "ReversedFrames",
    "ScoredBatch",
    "Scorer",
    "ShuffledFrames",
    "TransductiveCache",
    "WeightSets",
    "check_ranges",
    "embed",
    "evaluation_clips",
    "evaluation_loaders",
    "evaluation_sets",
    "mixture_name",
    "prediction_columns",
    "prediction_row",
    "predictions",
    "probabilities",
    "probabilities_of",
    "similarities",
]
