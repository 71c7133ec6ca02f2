"""Prints the tables of docs/encoders.md and docs/unknown.md about the tiny CLIP and its twin as SigLIP.

python -m studies.encoders --draws 0 1 2

Each model is tuned on the seen classes of a draw, and tested on the unseen ones. A training whose weights are in the
folder is not repeated; it takes about a minute on one core.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ost_lightning.datamodules import ToyWorld
from ost_lightning.evaluation import embed, similarities
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP, ensemble_weights
from ost_lightning.models.ensembling import exchanged_weights
from ost_lightning.resources import TINY_MODELS
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.toyworld.grammar import Group
from studies.beyond.train import tuned as trained

RATIO: Final = 0.2
WEIGHTS: Final = ("pre-trained", "tuned", "ensembled")
LEVELS: Final = (0.001, 0.002, 0.005, 0.5)
GROUPS: Final[tuple[Group, ...]] = ("seen", "unseen")


@dataclass(frozen=True)
class Scores:
    """Logits of the videos of both groups, for the classes of one of them.

    Attributes:
        listed: Videos of these classes, (n, K).
        labels: Index of their classes, int64 (n,).
        others: Videos of the other group, (m, K).
    """

    listed: Tensor
    labels: Tensor
    others: Tensor

    @property
    def top1(self) -> float:
        return float((self.listed.argmax(1) == self.labels).double().mean())

    def auroc(self, scores: str) -> float:
        """Probability that the largest score of a listed video is above that of another one; ties count half."""
        known, none = (
            (rows.softmax(1) if scores == "softmax" else rows).amax(1).double() for rows in (self.listed, self.others)
        )
        return float(((known[:, None] > none) + (known[:, None] == none) / 2).mean())

    def missed(self, level: float) -> float:
        """Share of listed videos of which all sigmoid probabilities are below the level."""
        return float((self.listed.sigmoid().amax(1) < level).double().mean())

    def false_alarms(self, level: float) -> float:
        """Share of other videos of which some sigmoid probability reaches the level."""
        return float((self.others.sigmoid().amax(1) >= level).double().mean())


def tuned(pretrained: str, draw: int, folder: Path) -> Path:
    """Returns the folder of the weights tuned on the seen classes of a draw, after training if there is none."""
    options = [f"--model.video_clip.pretrained={pretrained}", f"--data.draw={draw}"]
    run = folder / "runs" / f"{pretrained}-draw{draw}"
    found = trained(folder / "weights" / pretrained / f"draw{draw}", run, options)
    if found is None:
        raise SystemExit(f"Another process is training {run.name}. Start again when it has finished.")
    return found


class Videos:
    """Test videos of the seen and unseen classes of one draw, decoded once for all models."""

    def __init__(self, draw: int, clips: int) -> None:
        data = ToyWorld(draw, test_clips=clips, test_sets=GROUPS)
        data.loading = replace(data.loading, workers=0)
        data.prepare_data()
        data.setup("test")
        self._frames: dict[Group, Tensor] = {}
        self._labels: dict[Group, Tensor] = {}
        self._spaces: dict[Group, LabelSpace] = dict(data.evaluation_labels("test"))
        for group, loader in zip(self._spaces, data.test_dataloader(), strict=True):
            batches = list(loader)
            self._frames[group] = torch.cat([batch.frames for batch in batches])
            self._labels[group] = torch.cat([batch.labels for batch in batches])

    @torch.no_grad()
    def scores(self, clip: VideoCLIP) -> dict[Group, Scores]:
        """Returns the scores for the classes of each group."""
        clip.eval()
        matcher, templates = OptimalDescriptorSolver(), Templates.load("ost")
        embedded = {
            group: torch.cat([embed(clip, part)[:, 0] for part in frames.split(32)])
            for group, frames in self._frames.items()
        }
        found = {}
        for group, labels in self._spaces.items():
            texts = clip.encode_sentences(clip.tokenize(templates.apply(labels, matcher.kinds, 4)))
            logits = {
                other: clip.similarity_to_logits(similarities(clip, matcher, texts, rows))
                for other, rows in embedded.items()
            }
            (others,) = (rows for other, rows in logits.items() if other != group)
            found[group] = Scores(logits[group], self._labels[group], others)
        return found


def every_weights(pretrained: str, draw: int, folder: Path, videos: Videos) -> dict[str, dict[Group, Scores]]:
    """Returns the scores with pre-trained, tuned and ensembled weights."""
    original, clip = VideoCLIP(pretrained), VideoCLIP(str(tuned(pretrained, draw, folder)))
    found = {"pre-trained": videos.scores(original), "tuned": videos.scores(clip)}
    mixed = ensemble_weights(dict(original.named_parameters()), dict(clip.named_parameters()), RATIO)
    with exchanged_weights(clip, mixed):
        found["ensembled"] = videos.scores(clip)
    return found


def spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"{title}\n")
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.encoders", description=__doc__)
    parser.add_argument("--pretrained", nargs="+", choices=list(TINY_MODELS), default=list(TINY_MODELS))
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=10, help="test videos per class")
    parser.add_argument("--folder", type=Path, default=Path("runs/encoders"))
    options = parser.parse_args()
    found: dict[str, list[dict[str, dict[Group, Scores]]]] = {pretrained: [] for pretrained in options.pretrained}
    for draw in options.draws:
        videos = Videos(draw, options.clips)
        for pretrained, draws in found.items():
            draws.append(every_weights(pretrained, draw, options.folder, videos))
    accuracy = [
        [pretrained, *(spread([one[weights]["unseen"].top1 for one in draws]) for weights in WEIGHTS)]
        for pretrained, draws in found.items()
    ]
    table("Top-1 on unseen classes", ["model", *WEIGHTS], accuracy)
    for pretrained, draws in found.items():
        if VideoCLIP(pretrained).encoder.logit_bias is None:
            continue
        kinds = ("softmax", "sigmoid")
        cues = [
            [weights, group, *(spread([one[weights][group].auroc(kind) for one in draws]) for kind in kinds)]
            for weights in WEIGHTS
            for group in GROUPS
        ]
        table(f"AUROC of none of these, {pretrained}", ["weights", "listed classes", *kinds], cues)
        rates = []
        for group in GROUPS:
            own = [one["tuned"][group] for one in draws]
            for level in LEVELS:
                shares = [one.missed(level) for one in own], [one.false_alarms(level) for one in own]
                rates.append([group, f"{level:g}", *map(spread, shares)])
        table(f"Levels, {pretrained} tuned", ["listed classes", "level", "missed", "false alarms"], rates)


if __name__ == "__main__":
    main()
