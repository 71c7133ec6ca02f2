"""From frame embeddings and sentences to class probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ost_lightning.matching import Matcher
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, VideoCLIP
from ost_lightning.text import SentenceSet


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """One way of scoring videos.

    Attributes:
        weights: Name of the set of weights that encodes frames and sentences.
        sentences: Sentences of all classes, by the name of the evaluation set; a set that is missing is not scored.
        matcher: Mechanism that compares frames and sentences.
        reported: Whether the figures belong to the task's own metrics. A callback that adds a scorer for a table of
            its own sets this to False.
    """

    weights: str
    sentences: Mapping[str, SentenceSet]
    matcher: Matcher
    reported: bool = True


def embed(video_clip: VideoCLIP, clips: Tensor) -> FrameEmbeddings:
    """Embeds the frames of clips in several views.

    Args:
        video_clip: Encoder.
        clips: uint8 (B, V, T, 3, S, S).

    Returns:
        fp32 (B, V, T, d).
    """
    embedded: Tensor = video_clip.encode_frames(clips.flatten(0, 1)).unflatten(0, tuple(clips.shape[:2]))
    return embedded


def similarities(
    video_clip: VideoCLIP, matcher: Matcher, texts: DescriptorEmbeddings, frames: FrameEmbeddings
) -> Tensor:
    """Similarities of clips and classes, in full precision whatever the run's is.

    Args:
        video_clip: Encoder that the embeddings are from.
        matcher: Mechanism that compares them.
        texts: kind -> (K, N, d), for all kinds that the matcher needs.
        frames: (B, T, d).

    Returns:
        fp32 (B, K).
    """
    # cosines of bf16 differ by a fifth of a logit from one number to the next
    with torch.autocast(frames.device.type, enabled=False):
        found: Tensor = video_clip.adapt_matcher(matcher)(frames, *(texts[kind] for kind in matcher.kinds))
    return found


def probabilities(
    video_clip: VideoCLIP, matcher: Matcher, texts: DescriptorEmbeddings, embedded: FrameEmbeddings
) -> Tensor:
    """Class probabilities of videos: the mean of the probabilities of their views.

    Args:
        video_clip: Encoder that the embeddings are from.
        matcher: Mechanism that compares frames and sentences.
        texts: kind -> (K, N, d), for all kinds that the matcher needs.
        embedded: (B, V, T, d).

    Returns:
        fp32 (B, K).
    """
    logits = video_clip.similarity_to_logits(similarities(video_clip, matcher, texts, embedded.flatten(0, 1)))
    views: Tensor = logits.float().softmax(dim=-1).unflatten(0, tuple(embedded.shape[:2]))
    return views.mean(1)
