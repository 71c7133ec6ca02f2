"""Long videos of the rendered world with their truth, embedded once per set of weights, and scores of their stretches.

Everything is kept in a folder, so that no video is rendered, embedded or scored twice.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ost_lightning.files import atomic_write, write_text_atomically
from ost_lightning.recognition import Recognizer
from ost_lightning.recognition.timelines import GRID_RATE, EmbeddedVideo, Segment, StretchScores, StretchSettings
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.long_videos import LongVideoClasses, LongVideoPart, write_long_video

Group = Literal["seen", "unseen"]
ACTIONS = {"seen": (6, 6, 8, 10, 12, 58), "unseen": (6, 6, 6, 6, 8, 8, 10, 12, 16, 24, 38, 60)}
"""Numbers of actions in the videos of a draw: each of 20 classes 5 or 10 times. Videos last 1 to 10 minutes."""


@dataclass(frozen=True)
class Footage:
    """Videos of one draw and group, for one set of weights.

    Attributes:
        folder: Folder of all results.
        draw: Draw of classes.
        group: Seen classes, to choose settings with; or unseen ones, to test them.
        weights: Name of the weights: `pretrained`, or `tuned` on the seen classes of the draw.
        actions: Number of actions of each video; `ACTIONS` if not given.
    """

    folder: Path
    draw: int
    group: Group
    weights: Literal["pretrained", "tuned"]
    actions: tuple[int, ...] = ()

    @cached_property
    def classes(self) -> LongVideoClasses:
        return LongVideoClasses.of(self.draw, self.group)

    @cached_property
    def truth(self) -> list[tuple[LongVideoPart, ...]]:
        """Parts of every video; renders videos that don't exist."""
        rng = random.Random(f"long videos {self.draw} {self.group}")
        deck: list[int] = []
        counts = self.actions or ACTIONS[self.group]
        while len(deck) < sum(counts):
            deck += rng.sample(range(len(self.classes.listed)), len(self.classes.listed))
        found = []
        for number, count in enumerate(counts):
            actions = [self.classes.listed[deck.pop()] for _ in range(count)]
            video = self._video(number)
            truth = video.with_suffix(".json")
            if not truth.is_file():
                video.parent.mkdir(parents=True, exist_ok=True)
                seed = f"{self.draw}/{self.group}/{number}"
                parts = write_long_video(video, self.classes, actions, seed)
                write_text_atomically(truth, json.dumps([asdict(part) for part in parts]))
            found.append(tuple(LongVideoPart(**part) for part in json.loads(truth.read_text())))
        return found

    def actions_shown(self) -> list[list[Segment]]:
        """Returns the true segments of each video."""
        return [[Segment(p.start, p.end, p.label, 1.0) for p in parts if p.label] for parts in self.truth]

    def _video(self, number: int) -> Path:
        return self.folder / "videos" / f"draw{self.draw}-{self.group}" / f"{number:02d}.mp4"

    @property
    def weights_source(self) -> str:
        """Name or folder of the weights; studies/beyond/train.py writes the tuned ones."""
        tuned = self.folder / "weights" / "paper" / f"draw{self.draw}-seed0"
        return str(tuned) if self.weights == "tuned" else "tiny"

    def recognizer(self, labels: LabelSpace | None = None) -> Recognizer:
        """Returns the recognizer of the listed classes, or of others."""
        return Recognizer.load(self.weights_source, labels or self.classes.labels, device="cpu")

    def embedded(self, rate: float = GRID_RATE) -> list[EmbeddedVideo]:
        """Returns all videos embedded with this number of frames per second."""
        kept = self.folder / "embedded" / f"{self.weights}-{rate:g}"
        files = [kept / f"{self._video(k).parent.name}-{k:02d}.safetensors" for k in range(len(self.truth))]
        recognizer = None
        for number, file in enumerate(files):
            if not file.is_file():
                recognizer = recognizer or self.recognizer()
                recognizer.embed(self._video(number), rate=rate).save(file)
        return [EmbeddedVideo.load(file) for file in files]

    def scores(self, settings: StretchSettings, shuffled: bool = False, rate: float = GRID_RATE) -> list[StretchScores]:
        """Returns the scores of all stretches of each video.

        Args:
            settings: Settings of stretches.
            shuffled: Whether the steps of each class are in another order than written.
            rate: Number of frames per second.
        """
        about = f"{settings.order_sigma}-{len(settings.lengths)}-{rate:g}{'-shuffled' * shuffled}"
        file = self.folder / "scores" / f"{self.weights}-draw{self.draw}-{self.group}-{about}.pt"
        videos = self.embedded(rate)
        if not file.is_file():
            recognizer = self.recognizer(steps_shuffled(self.classes.labels, self.draw) if shuffled else None)
            made = [recognizer.stretch_scores(video, settings) for video in videos]
            parts = [{name: getattr(one, name) for name in ("spans", "transported", "worst")} for one in made]
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as partial:
                torch.save(parts, partial)
        names = self.classes.labels.names
        return [
            StretchScores(video, names, **part, scored_by="")
            for video, part in zip(videos, torch.load(file), strict=True)
        ]

    def cut_out(self) -> Iterator[tuple[LongVideoPart, EmbeddedVideo]]:
        """Yields all parts of all videos, each as a video of its own."""
        for video, truth in zip(self.embedded(), self.truth, strict=True):
            for part in truth:
                first, last = round(part.start * video.rate), max(round(part.end * video.rate), 1)
                yield part, of_rows(video, video.rows[first:last])

    def background_only(self) -> list[EmbeddedVideo]:
        """Returns the videos without their actions, which are gaps."""
        found = []
        for video, truth in zip(self.embedded(), self.truth, strict=True):
            rows = video.rows.clone()
            for part in truth:
                if part.label:
                    rows[int(part.start * video.rate) : round(part.end * video.rate + 0.5)] = -1
            found.append(of_rows(video, rows))
        return found

    def whole_parts(self, order_sigma: float | None = 0.3) -> tuple[list[LongVideoPart], StretchScores]:
        """Returns all parts of all videos, and the scores of each as a whole, as if it had been cut out."""
        recognizer, whole = self.recognizer(), StretchSettings(lengths=(1000.0,), order_sigma=order_sigma)
        parts: list[LongVideoPart] = []
        found = []
        for part, piece in self.cut_out():
            found.append(recognizer.stretch_scores(piece, whole))
            parts.append(part)
        joined = {name: torch.cat([getattr(one, name) for one in found]) for name in ("spans", "transported", "worst")}
        return parts, replace(found[0], **joined)


def of_rows(video: EmbeddedVideo, rows: Tensor) -> EmbeddedVideo:
    """Returns a video of these rows of another one."""
    return replace(video, duration=len(rows) / video.rate, rows=rows, gaps=())


def steps_shuffled(labels: LabelSpace, seed: int) -> LabelSpace:
    """Returns a label space in which every class's Temporal Descriptors are in another order than written."""
    rng = random.Random(f"steps shuffled {seed}")
    written = {}
    for name, descriptors in labels.descriptors.items():
        temporal = list(descriptors.temporal)
        while tuple(temporal) == descriptors.temporal:
            rng.shuffle(temporal)
        written[name] = replace(descriptors, temporal=tuple(temporal))
    return replace(labels, descriptors=written)
