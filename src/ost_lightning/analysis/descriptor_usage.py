"""Use of descriptors: transport of test videos to the descriptors of their own class."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics import Metric

from ost_lightning.escaping import CsvWriter, markdown_text
from ost_lightning.text import LabelSpace
from ost_lightning.vocabulary import DescriptorKind

_SUMS: Final = ("mass", "cosine", "transported", "led", "closest")
_SHOWN: Final = 20


class DescriptorFlows(Metric):
    """Sums over videos of the transport to the descriptors of each video's own class.

    Args:
        classes: Number of classes, K.
        counts: Number of descriptors per class, by kind.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    videos: Tensor
    hits: Tensor
    name_hits: Tensor
    lost: Tensor

    def __init__(self, classes: int, counts: Mapping[DescriptorKind, int]) -> None:
        super().__init__()
        for state in ("videos", "hits", "name_hits", "lost"):
            self.add_state(state, default=torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")
        for kind, count in counts.items():
            for total in _SUMS:
                zeros = torch.zeros((classes, count), dtype=torch.float64)
                self.add_state(f"{kind}_{total}", default=zeros, dist_reduce_fx="sum")

    def update(
        self,
        labels: Tensor,
        flows: Mapping[DescriptorKind, tuple[Tensor, Tensor]],
        scores: Tensor,
        name_scores: Tensor,
    ) -> None:
        """Counts a batch.

        Args:
            labels: Labels of the videos, int64 (B,).
            flows: Cosines and plan of each video against its own class, each (B, V, T, N), by kind.
            scores: Scores by descriptors, (B, K).
            name_scores: Scores by category names, (B, K).
        """
        ones = torch.ones_like(labels)
        self.videos.index_add_(0, labels, ones)
        right, by_name = scores.argmax(1) == labels, name_scores.argmax(1) == labels
        self.hits.index_add_(0, labels, right.long())
        self.name_hits.index_add_(0, labels, by_name.long())
        self.lost.index_add_(0, labels, (by_name & ~right).long())
        for kind, (cosines, plan) in flows.items():
            cosines, plan = cosines.double(), plan.double()
            share = plan / plan.sum((-2, -1), keepdim=True)
            led, closest = (one_hot(values.argmax(-1), values.shape[-1]).double() for values in (plan, cosines))
            for total, values in (
                ("mass", share.sum(2).mean(1)),
                ("cosine", cosines.mean((1, 2))),
                ("transported", (share * cosines).sum(2).mean(1)),
                ("led", led.mean((1, 2))),
                ("closest", closest.mean((1, 2))),
            ):
                getattr(self, f"{kind}_{total}").index_add_(0, labels, values)

    def compute(self) -> dict[str, Tensor]:
        """Returns all sums, in host memory."""
        return {name: getattr(self, name).cpu() for name in self._defaults}


@dataclass(frozen=True, slots=True)
class DescriptorUse:
    """Use of one descriptor by the videos of its class.

    Attributes:
        kind: Kind of the descriptor.
        rank: Position in its list, from 1.
        text: Text of the descriptor.
        mass: Share of the transported mass that it receives, mean over videos. Balanced transport gives every
            descriptor 1/N by construction; only plans with a relaxed marginal differ.
        cosine: Mean cosine with all frames.
        transported_cosine: Mean cosine with the frames that are transported to it, weighted by their mass; the excess
            over `cosine` is the gain by transport.
        leads: Share of frames that send it more mass than any other descriptor of its kind. Balanced transport gives
            mass to every descriptor, so that even a useless one leads somewhere.
        closest: Share of frames that are closer to it than to the others of its kind, without transport.
    """

    kind: DescriptorKind
    rank: int
    text: str
    mass: float
    cosine: float
    transported_cosine: float
    leads: float
    closest: float


@dataclass(frozen=True, slots=True)
class ClassUse:
    """Use of the descriptors of one class.

    Attributes:
        name: Name of the class.
        videos: Number of its videos.
        top1: Share of its videos that are recognized by descriptors.
        name_top1: Share of its videos that are recognized by category names, with the same weights and frames.
        lost: Number of its videos that are recognized by category names, but not by descriptors.
        descriptors: Use of each of its descriptors.
    """

    name: str
    videos: int
    top1: float
    name_top1: float
    lost: int
    descriptors: tuple[DescriptorUse, ...]

    @property
    def gain(self) -> float:
        """Gain in Top-1 over the category name, -1 to 1."""
        return self.top1 - self.name_top1

    @property
    def unused(self) -> tuple[DescriptorUse, ...]:
        """Descriptors that are not the closest one to any frame."""
        return tuple(use for use in self.descriptors if use.closest == 0)


def class_uses(
    labels: LabelSpace, sums: Mapping[str, Tensor], counts: Mapping[DescriptorKind, int]
) -> tuple[ClassUse, ...]:
    """Returns means from the sums of `DescriptorFlows`, for the classes that have videos.

    Args:
        labels: Classes and descriptors.
        sums: Sums that `DescriptorFlows.compute` returned.
        counts: Number of descriptors per class, by kind.
    """
    texts = {kind: labels.descriptors_of(kind, count) for kind, count in counts.items()}
    found = []
    for label in sums["videos"].nonzero()[:, 0].tolist():
        videos = int(sums["videos"][label])
        uses = []
        for kind, count in counts.items():
            mass, cosine, transported, led, closest = (sums[f"{kind}_{total}"][label].tolist() for total in _SUMS)
            uses += [
                DescriptorUse(
                    kind,
                    n + 1,
                    texts[kind][label][n],
                    mass=mass[n] / videos,
                    cosine=cosine[n] / videos,
                    transported_cosine=transported[n] / mass[n] if mass[n] else 0.0,
                    leads=led[n] / videos,
                    closest=closest[n] / videos,
                )
                for n in range(count)
            ]
        hits, name_hits = int(sums["hits"][label]), int(sums["name_hits"][label])
        lost = int(sums["lost"][label])
        found.append(ClassUse(labels.names[label], videos, hits / videos, name_hits / videos, lost, tuple(uses)))
    return tuple(found)


def usage_json(uses: Mapping[str, Sequence[ClassUse]]) -> str:
    """Returns JSON: summary and classes by evaluation set."""
    content = {
        name: {"summary": _summary(classes), "classes": [asdict(entry) | {"gain": entry.gain} for entry in classes]}
        for name, classes in uses.items()
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def usage_csv(uses: Mapping[str, Sequence[ClassUse]]) -> str:
    """Returns CSV with one row per descriptor."""
    text = StringIO(newline="")
    rows = CsvWriter(text, lineterminator="\n")
    measured = ("mass", "cosine", "transported_cosine", "leads", "closest")
    rows.writerow(["set", "class", "videos", "top1", "name_top1", "kind", "rank", "descriptor", *measured])
    for name, classes in uses.items():
        for entry in classes:
            known = [name, entry.name, entry.videos, f"{entry.top1:.4f}", f"{entry.name_top1:.4f}"]
            for use in entry.descriptors:
                values = [f"{getattr(use, key):.4f}" for key in measured]
                rows.writerow([*known, use.kind, use.rank, use.text, *values])
    return text.getvalue()


def usage_markdown(uses: Mapping[str, Sequence[ClassUse]]) -> str:
    """Returns, per set, a summary, the classes that gain and lose most, and the least used descriptors."""
    return "\n".join(line for name, classes in uses.items() for line in _section(name, classes)) + "\n"


def _summary(classes: Sequence[ClassUse]) -> dict[str, Any]:
    videos = sum(entry.videos for entry in classes)
    descriptors = sum(len(entry.descriptors) for entry in classes)
    return {
        "classes": len(classes),
        "videos": videos,
        "top1": _weighted(classes, "top1", videos),
        "name_top1": _weighted(classes, "name_top1", videos),
        "classes_that_gain": sum(entry.gain > 0 for entry in classes),
        "classes_that_lose": sum(entry.gain < 0 for entry in classes),
        "descriptors": descriptors,
        "descriptors_unused": sum(len(entry.unused) for entry in classes),
    }


def _weighted(classes: Sequence[ClassUse], key: str, videos: int) -> float:
    values: list[float] = [getattr(entry, key) * entry.videos for entry in classes]
    return sum(values) / max(videos, 1)


def _section(name: str, classes: Sequence[ClassUse]) -> list[str]:
    summary = _summary(classes)
    lines = [
        f"## {markdown_text(name)}",
        "",
        f"{summary['videos']} videos of {summary['classes']} classes: Top-1 {100 * summary['top1']:.1f} % by "
        f"descriptors, {100 * summary['name_top1']:.1f} % by category names; {summary['classes_that_gain']} classes "
        f"gain, {summary['classes_that_lose']} lose. {summary['descriptors_unused']} of {summary['descriptors']} "
        "descriptors are not the closest one to any frame.",
        "",
        "| class | videos | Top-1 (%) | by name (%) | gain |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    ranked = sorted(classes, key=lambda entry: entry.gain, reverse=True)
    shown = ranked if len(ranked) <= 2 * _SHOWN else [*ranked[:_SHOWN], *ranked[-_SHOWN:]]
    lines += [
        f"| {markdown_text(entry.name)} | {entry.videos} | {100 * entry.top1:.1f} | {100 * entry.name_top1:.1f} | "
        f"{100 * entry.gain:+.1f} |"
        for entry in shown
    ]
    lines += ["", "| class | kind | rank | descriptor | cosine | transported cosine | leads (%) | closest (%) |"]
    lines += ["| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |"]
    pairs = [(entry, use) for entry in classes for use in entry.descriptors]
    pairs.sort(key=lambda pair: (pair[1].closest, pair[1].cosine))
    lines += [
        f"| {markdown_text(entry.name)} | {use.kind} | {use.rank} | {markdown_text(use.text)} | {use.cosine:.3f} | "
        f"{use.transported_cosine:.3f} | {100 * use.leads:.1f} | {100 * use.closest:.1f} |"
        for entry, use in pairs[: 2 * _SHOWN]
    ]
    return [*lines, ""]
