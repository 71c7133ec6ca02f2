"""Recognizers with the tiny CLIP and something that was added to it, to be written as graphs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from ost_lightning import Recognizer
from ost_lightning.models import (
    ClassContexts,
    ContextualVideoCLIP,
    DiSTNetwork,
    MeanPooling,
    PromptedVideoCLIP,
    SideTunedVideoCLIP,
    TemporalContext,
    TemporalTransformer,
    VideoCLIP,
    VideoPrompts,
)
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.grammar import draw_classes

NAMES: Final = [action.name for action in draw_classes(0)["unseen"]]
FRAMES: Final = 4


def by_class(recognizer: Recognizer, video: Path) -> list[float]:
    """Probabilities in the order of the classes."""
    found = recognizer(video)
    shares = dict(zip(found.classes, found.probabilities, strict=True))
    return [shares[name] for name in recognizer.labels.names]


def plain() -> Recognizer:
    """Recognizer with nothing added."""
    return _recognizer(VideoCLIP("tiny"))


def with_learned_prompts() -> Recognizer:
    """Recognizer with prompts in front of the class names and in the vision tower."""
    prompted = PromptedVideoCLIP(
        "tiny",
        text_prompts=partial(ClassContexts, contexts_per_class=3),
        vision_prompts=partial(VideoPrompts, frames=FRAMES),
        temporal_head=MeanPooling,
    )
    prompted.set_training_classes(LabelSpace(tuple(NAMES)))
    return _recognizer(prompted)


def with_side_network() -> Recognizer:
    """Recognizer with a network beside the vision tower, and half of CLIP's own embedding."""
    network = partial(DiSTNetwork, frames=FRAMES, integration_width=64, temporal_width=8, pooling_layers=1)
    return _recognizer(SideTunedVideoCLIP("tiny", side_network=network, clip_share=0.5))


def with_temporal_context() -> Recognizer:
    """Recognizer whose frames attend to a few tokens of the whole clip."""
    context = partial(TemporalContext, context_tokens=6, merges_per_round=20)
    return _recognizer(ContextualVideoCLIP("tiny", temporal_context=context))


def with_temporal_head_and_views() -> Recognizer:
    """Recognizer with a temporal head and two views of each video."""
    clip = VideoCLIP("tiny")
    clip.temporal_head = TemporalTransformer(clip.embedding_dim, layers=1, positions=8)
    return _recognizer(clip, views=2)


ADDITIONS: Final[dict[str, Callable[[], Recognizer]]] = {
    "learned prompts": with_learned_prompts,
    "side network": with_side_network,
    "temporal context": with_temporal_context,
    "temporal head and views": with_temporal_head_and_views,
}


def _recognizer(clip: VideoCLIP, views: int = 1) -> Recognizer:
    model = load_trained_model("tiny")
    clips = replace(model.clips, frames=FRAMES, views=views)
    return Recognizer(replace(model, video_clip=clip, clips=clips), LabelSpace(tuple(NAMES)))
