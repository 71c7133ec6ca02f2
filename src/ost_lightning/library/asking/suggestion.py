"""Videos to label next: those about which a model disagrees with itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv
from ost_lightning.library.asking.classification import listed_span
from ost_lightning.library.asking.found import is_moved, timelines
from ost_lightning.library.asking.query_scorer import label_scorer, solver_with
from ost_lightning.library.asking.scoring import SegmentScorer, best
from ost_lightning.library.segments import StoredSegment
from ost_lightning.library.table import SegmentTable
from ost_lightning.matching import OptimalDescriptorSolver, TermWeights, solve_transport
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition import TrainedModel
from ost_lightning.recognition.timelines import save_timeline
from ost_lightning.recognition.timelines.timeline import clock
from ost_lightning.text import LabelSpace
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, SentenceKind

_COLUMNS: Final = ("path", "label", "start", "end", "id")
"""Columns of a list that `VideoLists` reads; the label is for the person who labels."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One segment that is worth labeling.

    Attributes:
        segment: The stored segment.
        label: Most likely class.
        probability: Probability of the most likely class.
        disagreement: Divergence (Jensen-Shannon) of the probabilities by Spatio and by Temporal Descriptors alone, from
            0 for equal ones to 1.
        plan_entropy: Entropy of the most likely class's transport plans, from 0 for one frame per descriptor, or one
            descriptor per frame, to 1 for frames that fit all descriptors alike.
    """

    segment: StoredSegment
    label: str
    probability: float
    disagreement: float
    plan_entropy: float

    def __str__(self) -> str:
        stored = self.segment
        end = "" if stored.end is None else f"{clock(stored.start)} to {clock(stored.end)}  "
        moved = "  (the file is no longer there)" if is_moved(stored.video) else ""
        return (
            f"disagreement {self.disagreement:.2f}  plan entropy {self.plan_entropy:.2f}  {end}{escaped(stored.video)}"
            f"{moved}, perhaps {escaped(self.label)} ({self.probability:.0%})"
        )


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Segments of different videos that are worth labeling, most worthwhile first.

    Attributes:
        suggestions: The suggestions.
        labels: Classes to choose from.
        weights: Name of the weights.
    """

    suggestions: tuple[Suggestion, ...]
    labels: LabelSpace
    weights: str

    def __len__(self) -> int:
        return len(self.suggestions)

    def save(self, file: str | Path) -> Path:
        """Saves a list for labeling, or tasks for Label Studio.

        A `.csv` file is a list with an empty column `label`. Once that is filled in, `VideoLists` trains on it. A
        `.json` file holds one task per video, with the most likely class as prediction.

        Args:
            file: File to write.

        Raises:
            UserError: If the suffix is unknown, or the frame rate of a video is, which Label Studio needs.
        """
        path = Path(file)
        check_suggestion_file(path)
        if path.suffix.lower() == ".csv":
            with atomic_write(path) as temporary, open_csv(temporary) as handle:
                writer = CsvWriter(handle)
                writer.writerow(_COLUMNS)
                writer.writerows(_row(one.segment) for one in self.suggestions)
        else:
            scored = [(one.segment, one.label, one.probability) for one in self.suggestions]
            save_timeline(timelines(scored, self.labels.names, {"weights": self.weights}), path, "label_studio")
        return path

    def __str__(self) -> str:
        width = len(str(len(self)))
        return "\n".join(f"{rank:{width}}  {one}" for rank, one in enumerate(self.suggestions, start=1))


def check_suggestion_file(file: Path) -> None:
    """Checks that a file's suffix is `.csv` or `.json`.

    Raises:
        UserError: If it is not.
    """
    if file.suffix.lower() not in (".csv", ".json"):
        raise UserError(f"The output {file} has an unknown suffix: choose .csv for a list, or .json for Label Studio.")


def suggest(table: SegmentTable, model: TrainedModel, labels: LabelSpace, n: int) -> Suggestions:
    """Suggests segments without a label, at most one per video, by the mean rank of disagreement and plan entropy.

    Args:
        table: Table of segments.
        model: Model with the table's weights.
        labels: Classes to choose from.
        n: Number of segments.

    Raises:
        UserError: If the classes have no descriptors, the matcher is no OD Solver with terms of both kinds, or there is
            nothing without a label.
    """
    if n < 1:
        raise UserError(f"n is {n}: expected at least 1.")
    scorer, _ = label_scorer(model, labels)
    solver = scorer.matcher
    if not isinstance(solver, OptimalDescriptorSolver) or len(solver.descriptor_kinds) < len(DESCRIPTOR_KINDS):
        raise UserError(
            f"Suggestions compare Spatio with Temporal Descriptors, but {type(solver).__name__} doesn't use both: "
            "choose classes with descriptors (`ost descriptors generate`), and weights of the OptimalDescriptorSolver."
        )
    uncertainty = _Uncertainty(scorer, model.video_clip, solver)
    parts = [uncertainty.of(batch.embeddings) for batch in table.batches()]
    disagreement, entropy, classes, shares = (torch.cat(column) for column in zip(*parts, strict=True))
    unlabeled = torch.tensor([label is None for label in _labels(table)])
    if not bool(unlabeled.any()):
        raise UserError(f"All segments of {table.folder} have labels: index videos without labels first.")
    rank = (_ranks(disagreement) + _ranks(entropy)).masked_fill(~unlabeled, -1)
    chosen = _one_per_video(table, rank, n)
    found = [
        Suggestion(one, labels.names[int(classes[k])], float(shares[k]), float(disagreement[k]), float(entropy[k]))
        for one in chosen
        for k in (one.row,)
    ]
    return Suggestions(tuple(found), labels, model.video_clip.pretrained)


class _Uncertainty:
    """Disagreement and plan entropy of segments.

    Args:
        scorer: Scorer of all classes.
        video_clip: Encoder that the embeddings are from.
        solver: Matcher of the scorer.
    """

    def __init__(self, scorer: SegmentScorer, video_clip: VideoCLIP, solver: OptimalDescriptorSolver) -> None:
        self.video_clip, self.solver, self.texts = video_clip, solver, scorer.texts
        pairs = {kind: solver.terms.of(kind) for kind in solver.kinds}
        spatio = pairs["spatio"]
        self.shares = {kind: sum(pair) / solver.terms.total for kind, pair in pairs.items()}
        terms: dict[SentenceKind, TermWeights] = {
            "name": TermWeights(0, 0, 0, 0, 1),
            "spatio": TermWeights(spatio[0], 0, spatio[1], 0),
            "temporal": replace(solver.terms, spatio_pooled=0, spatio_transported=0, name=0),
        }
        self.scorers = {
            kind: SegmentScorer(video_clip, solver_with(solver, terms[kind]), {kind: scorer.texts[kind]})
            for kind in solver.kinds
        }

    @torch.inference_mode()
    def of(self, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Disagreement, plan entropy, most likely class and its probability, each (n,)."""
        similar = {kind: scorer.similarities(embeddings) for kind, scorer in self.scorers.items()}
        together = sum(self.shares[kind] * similarity for kind, similarity in similar.items())
        spatio, temporal = (self._probabilities(similar[kind]) for kind in DESCRIPTOR_KINDS)
        shares, classes = self._probabilities(torch.as_tensor(together)).max(1)
        return _divergence(spatio, temporal), self._plan_entropy(embeddings, classes), classes, shares

    def _probabilities(self, similarities: Tensor) -> Tensor:
        found: Tensor = self.video_clip.similarity_to_logits(similarities.to(self.video_clip.encoder.device))
        return found.float().softmax(1).cpu()

    def _plan_entropy(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        found = []
        for kind in DESCRIPTOR_KINDS:
            texts = self.texts[kind].cpu()[classes]
            cosines = torch.einsum("btd,bnd->btn", embeddings.float(), texts)
            solver = self.solver
            plan = solve_transport(
                cosines,
                problem=solver.problems[kind],
                epsilon=float(torch.as_tensor(solver.epsilon).detach()),
                max_iterations=solver.max_iterations,
                tolerance=solver.tolerance,
            ).plan
            found.append(plan_entropy(plan))
        return torch.stack(found).mean(0)


def plan_entropy(plan: Tensor) -> Tensor:
    """Returns the entropy of transport plans, from 0 for the most concentrated ones to 1 for independent marginals.

    Args:
        plan: Plans with uniform marginals, (..., T, N).

    Examples:
        >>> plan_entropy(torch.tensor([[[0.5, 0.0], [0.0, 0.5]], [[0.25, 0.25], [0.25, 0.25]]]))
        tensor([0., 1.])
    """
    share = plan / plan.sum((-2, -1), keepdim=True)
    entropy = -torch.special.xlogy(share, share).sum((-2, -1))
    sides = torch.tensor(plan.shape[-2:], dtype=torch.float64).log()
    if float(sides.min()) == 0:
        return torch.zeros_like(entropy)
    scaled: Tensor = (entropy - float(sides.max())) / float(sides.min())
    return scaled.clamp(0, 1)


def _divergence(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of distributions (n, K) in bits, (n,)."""
    middle = (first + second) / 2
    parts = [torch.special.xlogy(one, one / middle.clamp_min(1e-30)).sum(1) for one in (first, second)]
    return (torch.stack(parts).mean(0) / torch.log(torch.tensor(2.0))).clamp(0, 1)


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0 for the lowest value to 1 for the highest."""
    return values.argsort(stable=True).argsort().double() / max(1, len(values) - 1)


def _labels(table: SegmentTable) -> Sequence[str | None]:
    found: Sequence[str | None] = table.dataset.to_table(columns=["label"])["label"].to_pylist()
    return found


def _one_per_video(table: SegmentTable, rank: Tensor, n: int) -> list[StoredSegment]:
    """The highest ranks, at most one per video, of those that are not negative."""
    usable, wanted = int((rank >= 0).sum()), n
    while True:
        rows = best(rank, min(wanted, usable))
        first: dict[str, StoredSegment] = {}
        for segment in table.segments(rows):
            first.setdefault(segment.video, segment)
        if len(first) >= n or len(rows) == usable:
            return list(first.values())[:n]
        wanted *= 4


def _row(segment: StoredSegment) -> list[object]:
    start, end = listed_span(segment)
    return [segment.video, "", "" if start is None else start, "" if end is None else end, segment.video_id]
