"""Embeddings of videos and sentences of the rendered world, for scoring with any number of matchers."""

import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ost_lightning.datamodules import ToyWorld
from ost_lightning.models import VideoCLIP
from ost_lightning.text import Descriptors, LabelSpace, Templates
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.difficulty import Difficulty
from ost_lightning.toyworld.grammar import GROUPS, Group
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, SENTENCE_KINDS

DESCRIPTORS = 4


@dataclass(frozen=True)
class Encoded:
    """One group of classes of one draw, encoded with one set of weights.

    Attributes:
        frames: Embeddings of frames, (B, T, d).
        labels: Labels of the videos, int64 (B,).
        texts: Embeddings of sentences by kind, (K, N, d) each.
    """

    frames: Tensor
    labels: Tensor
    texts: dict[str, Tensor]


@cache
def videos(draw: int, difficulty: Difficulty = "standard") -> dict[Group, tuple[Tensor, Tensor, LabelSpace]]:
    """Returns the decoded test videos of every group: uint8 (B, T, 3, S, S), labels, label space.

    Videos of seen classes are those that training validates on.
    """
    data = ToyWorld(draw, test_sets=GROUPS, difficulty=difficulty)
    data.loading = replace(data.loading, workers=0)
    data.prepare_data()
    data.setup("test")
    decoded = {}
    for (group, labels), loader in zip(data.evaluation_labels("test").items(), data.test_dataloader(), strict=True):
        batches = list(loader)
        frames = torch.cat([batch.frames[:, 0] for batch in batches])
        decoded[group] = frames, torch.cat([batch.labels for batch in batches]), labels
    return decoded


class Encoder:
    """Encoder with one set of weights, for one draw.

    Args:
        weights: Name `tiny`, a folder in HF format, or a model.
        draw: Draw of classes.
        difficulty: Setting of the world.
    """

    def __init__(self, weights: str | Path | VideoCLIP, draw: int, difficulty: Difficulty = "standard") -> None:
        self.clip = (weights if isinstance(weights, VideoCLIP) else VideoCLIP(str(weights))).eval()
        self.draw: int = draw
        self.difficulty: Difficulty = difficulty
        self.templates = Templates.load("ost")
        self._frames: dict[Group, Tensor] = {}

    @torch.no_grad()
    def encode(self, group: Group, labels: LabelSpace | None = None) -> Encoded:
        """Encodes a group, with the descriptors of another label space if given."""
        clips, truth, default = videos(self.draw, self.difficulty)[group]
        if group not in self._frames:
            self._frames[group] = torch.cat([self.clip.encode_frames(part) for part in clips.split(50)])
        sentences = self.templates.apply(labels or default, SENTENCE_KINDS, DESCRIPTORS)
        texts = self.clip.encode_sentences(self.clip.tokenize(sentences))
        return Encoded(self._frames[group], truth, dict(texts))

    def hallucinated(self, group: Group, count: int, seed: int, draft: int = 0) -> LabelSpace:
        """Returns clean descriptors with `count` per kind and class replaced by those of other classes."""
        labels = label_space(self.draw, group, self.difficulty, clean=True, draft=draft)
        seeded = f"hallucination {self.draw} {group} {count} {seed}" + (f" {draft}" if draft else "")
        return with_hallucinations(labels, count, random.Random(seeded))


def with_hallucinations(labels: LabelSpace, count: int, rng: random.Random) -> LabelSpace:
    """Replaces `count` descriptors per kind and class by those of other classes."""
    written = {}
    for name in labels.names:
        kinds = {}
        for kind in DESCRIPTOR_KINDS:
            texts = list(getattr(labels.descriptors[name], kind))
            for index in rng.sample(range(DESCRIPTORS), count):
                other = rng.choice([other for other in labels.names if other != name])
                texts[index] = rng.choice(getattr(labels.descriptors[other], kind))
            kinds[kind] = tuple(texts)
        written[name] = Descriptors(**kinds)
    return replace(labels, descriptors=written)


def with_steps_shuffled(encoded: Encoded, seed: int) -> Encoded:
    """Shuffles the temporal descriptors of each class independently."""
    generator = torch.Generator().manual_seed(seed)
    temporal = encoded.texts["temporal"]
    orders = torch.stack([torch.randperm(DESCRIPTORS, generator=generator) for _ in temporal])
    shuffled = temporal.gather(1, orders[..., None].expand_as(temporal))
    return replace(encoded, texts={**encoded.texts, "temporal": shuffled})


def with_frames_shuffled(encoded: Encoded, seed: int) -> Encoded:
    """Shuffles the frames of each video independently, which removes their order."""
    generator = torch.Generator().manual_seed(seed)
    frames = encoded.frames
    orders = torch.stack([torch.randperm(frames.shape[1], generator=generator) for _ in frames])
    return replace(encoded, frames=frames.gather(1, orders[..., None].expand_as(frames)))
