"""From frame embeddings and sentences to class probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ost_lightning.evaluation.frame_orders import FrameOrder
from ost_lightning.matching import Matcher
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, VideoCLIP
from ost_lightning.text import SentenceSet


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """One way of scoring videos: weights, sentences and matcher.

    Attributes:
        weights: Name of the set of weights that encodes frames and sentences.
        sentences: Sentences of all classes, by the name of the evaluation set; missing sets are not scored.
        matcher: Mechanism that compares frames and sentences.
        reported: Whether the task logs the results. Callbacks that add a scorer for their own table set this to False.
        order: Order in which the frames of each video are scored; None for their own.
    """

    weights: str
    sentences: Mapping[str, SentenceSet]
    matcher: Matcher
    reported: bool = True
    order: FrameOrder | None = None


def embed(video_clip: VideoCLIP, clips: Tensor) -> FrameEmbeddings:
    """Embeds the frames of clips with several views.

    Args:
        video_clip: Encoder of frames.
        clips: Frames of all views, uint8 (B, V, T, 3, S, S).

    Returns:
        fp32 (B, V, T, d).
    """
    embedded: Tensor = video_clip.encode_frames(clips.flatten(0, 1)).unflatten(0, tuple(clips.shape[:2]))
    return embedded


def similarities(
    video_clip: VideoCLIP, matcher: Matcher, texts: DescriptorEmbeddings, frames: FrameEmbeddings
) -> Tensor:
    """Computes similarities of clips and classes, in full precision regardless of the run's precision.

    Args:
        video_clip: Encoder that computed the embeddings.
        matcher: Mechanism that compares frames and sentences.
        texts: Sentence embeddings, kind -> (K, N, d), for all kinds that the matcher needs.
        frames: Frame embeddings, (B, T, d).

    Returns:
        fp32 (B, K).
    """
    # adjacent bf16 cosines are a fifth of a logit apart
    with torch.autocast(frames.device.type, enabled=False):
        found: Tensor = video_clip.adapt_matcher(matcher)(frames, *(texts[kind] for kind in matcher.kinds))
    return found


def probabilities(
    video_clip: VideoCLIP, matcher: Matcher, texts: DescriptorEmbeddings, embedded: FrameEmbeddings
) -> Tensor:
    """Computes class probabilities of videos, averaged over their views.

    Args:
        video_clip: Encoder that computed the embeddings.
        matcher: Mechanism that compares frames and sentences.
        texts: Sentence embeddings, kind -> (K, N, d), for all kinds that the matcher needs.
        embedded: Frame embeddings of all views, (B, V, T, d).

    Returns:
        fp32 (B, K).
    """
    found = video_clip.class_probabilities(similarities(video_clip, matcher, texts, embedded.flatten(0, 1)))
    views: Tensor = found.unflatten(0, tuple(embedded.shape[:2]))
    return views.mean(1)
