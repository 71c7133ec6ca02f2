"""None of these: how well true parts with a listed class are told from background, and label sets with a promise."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from footage import Footage
from measures import auroc
from torch import Tensor

from ost_lightning.models import VideoCLIP
from ost_lightning.recognition.conformal import ConformalCalibrator, Nonconformity
from ost_lightning.toyworld.long_videos import BACKGROUND_KINDS

SPLITS = 50
ALPHAS = (0.1, 0.05)
LABELED = 5
"""Labeled videos per class for calibration."""
CUES = (
    "max probability",
    "margin",
    "max similarity",
    "worst step",
    "similarity and worst step, half each",
    "evidence: a quarter of worst step",
    "evidence and order",
)


@dataclass(frozen=True)
class Parts:
    """Parts of long videos, looked at as if they had been cut out.

    Attributes:
        kinds: Kind of each part.
        labels: Index of its class, int64 (n,); -1 for background.
        transported: Similarity by transport, (n, K).
        worst: Cosine of the worst step, (n, K).
        evidence: Evidence of the default decoder, from both, (n, K).
        unordered: The same without a prior for the order, (n, K).
        probabilities: Softmax of the similarities, (n, K).
    """

    kinds: list[str]
    labels: Tensor
    transported: Tensor
    worst: Tensor
    evidence: Tensor
    unordered: Tensor
    probabilities: Tensor

    def cues(self) -> dict[str, Tensor]:
        """Returns values (n,) that should be larger if a listed class is shown."""
        top = self.transported.topk(2, 1).values
        best = self.transported.argmax(1, keepdim=True)
        ordered = self.evidence - (self.unordered - self.evidence)
        values = (
            self.probabilities.amax(1),
            top[:, 0] - top[:, 1],
            top[:, 0],
            self.worst.gather(1, best)[:, 0],
            ((self.transported + self.worst) / 2).amax(1),
            self.evidence.amax(1),
            ordered.amax(1),
        )
        return dict(zip(CUES, values, strict=True))


def parts_of(footage: Footage) -> Parts:
    parts, scores = footage.whole_parts()
    _, plain = footage.whole_parts(order_sigma=None)
    clip = VideoCLIP(footage.weights_source)
    labels = [footage.classes.labels.names.index(part.label) if part.label else -1 for part in parts]
    with torch.no_grad():
        probabilities = clip.similarity_to_logits(scores.transported).softmax(1)
    kinds = [part.kind for part in parts]
    values = (scores.transported, scores.worst, scores.evidence, plain.evidence, probabilities)
    return Parts(kinds, torch.tensor(labels), *values)


def told_apart(parts: Parts) -> dict[str, dict[str, float]]:
    """Returns the AUROC of every cue against each kind of background, and all of them, in percent."""
    known = parts.labels >= 0
    kinds = {kind: torch.tensor([own == kind for own in parts.kinds]) for kind in BACKGROUND_KINDS} | {"all": ~known}
    return {
        cue: {kind: 100 * auroc(values[known], values[of]) for kind, of in kinds.items() if bool(of.any())}
        for cue, values in parts.cues().items()
    }


def covered(parts: Parts, kind: Nonconformity, alpha: float, seed: int) -> dict[str, float]:
    """Returns coverage and sizes of label sets, calibrated with a few random actions of each class, in percent.

    The other actions test the coverage; `empty` is the share of sets without any class.
    """
    scores = parts.evidence if kind == "similarity" else parts.probabilities
    generator = torch.Generator().manual_seed(seed)
    known = (parts.labels >= 0).nonzero().flatten()
    order = known[torch.randperm(len(known), generator=generator)]
    labels = parts.labels[order]
    own = labels[:, None] == labels
    rank = own.tril(-1).sum(1)  # how many of the class come before
    fitted, tested = order[rank < LABELED], order[rank >= LABELED]
    draws = torch.rand(len(parts.labels), generator=generator)
    calibration = ConformalCalibrator(kind).fit(scores[fitted], parts.labels[fitted], draws=draws[fitted])
    sets = calibration.sets(scores, alpha, draws)
    empty = ~sets.any(1)
    background = {kind: [k for k, own in enumerate(parts.kinds) if own == kind] for kind in BACKGROUND_KINDS}
    return {
        "coverage": 100 * float(sets[tested, parts.labels[tested]].double().mean()),
        "size": float(sets[tested].sum(1).double().mean()),
        "empty, listed": 100 * float(empty[tested].double().mean()),
        **{f"empty, {kind}": 100 * float(empty[rows].double().mean()) for kind, rows in background.items() if rows},
    }


def coverage(every: Sequence[Parts], kind: Nonconformity, alpha: float) -> list[dict[str, float]]:
    """Returns the means over random splits for each draw."""
    found = []
    for draw, parts in enumerate(every):
        rows = [covered(parts, kind, alpha, 1000 * draw + split) for split in range(SPLITS)]
        found.append({key: statistics.mean(row[key] for row in rows) for key in rows[0]})
    return found
