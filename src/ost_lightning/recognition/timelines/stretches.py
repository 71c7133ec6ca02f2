"""Evidence of whole stretches of a long video, of several lengths, for every class."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.matching import BALANCED, TransportProblem, TransportWarning, solve_transport
from ost_lightning.recognition.timelines.embedded_video import EmbeddedVideo
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind, SentenceKind

_ENTRIES: Final = 1 << 23
"""Number of cosines that are transported at once: 32 MB, and a few times that for the solver."""
_FIRST_ITERATIONS: Final = 30
"""Iterations after which the problems that have not converged are solved by themselves, without waiting for them."""
_MAX_ITERATIONS: Final = 1000
_WORST_SHARE: Final = 0.25
"""Share of the worst step in the evidence. With more of it, other actions are recognized as such less well."""


@dataclass(frozen=True)
class StretchSettings:
    """Settings of the stretches that are scored.

    Attributes:
        lengths: Lengths of stretches in seconds. Nine from 2 to 6 s by default, as for the actions of the rendered
            world; longer actions need longer stretches, such as 4, 8, 16, 32. Few lengths find boundaries worse.
        stride: Distance between the starts of stretches in seconds; at least one step of the grid.
        looks: Number of frames that represent a stretch, evenly spread.
        order_sigma: Width of the prior that prefers steps in their order, as a fraction of the stretch; None for none.
        epsilon: Weight of the entropy in transport.

    Raises:
        UserError: If a value is out of range.
    """

    lengths: tuple[float, ...] = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)
    stride: float = 0.5
    looks: int = 8
    order_sigma: float | None = 0.3
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        positive = {"stride": self.stride, "epsilon": self.epsilon, "order_sigma": self.order_sigma}
        positive |= {f"lengths[{k}]": length for k, length in enumerate(self.lengths)}
        for name, value in positive.items():
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UserError(f"StretchSettings.{name} is {value}: expected a positive number.")
        if not self.lengths:
            raise UserError("StretchSettings.lengths is empty: expected at least one length in seconds.")
        if self.looks < 1:
            raise UserError(f"StretchSettings.looks is {self.looks}: expected at least 1 frame per stretch.")

    def conditions(self) -> dict[str, str | float]:
        """Returns the settings as entries of a timeline's conditions."""
        settings: dict[str, str | float] = {
            "lengths": ", ".join(f"{length:g}" for length in self.lengths),
            "stride": self.stride,
            "looks": self.looks,
            "order_sigma": "none" if self.order_sigma is None else self.order_sigma,
            "epsilon": self.epsilon,
        }
        return {f"stretches.{name}": value for name, value in settings.items()}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StretchScores:
    """Evidence of M stretches of one video for K classes.

    Attributes:
        video: Video that the stretches belong to, with its grid of G steps.
        classes: Names of the classes, K of them.
        spans: First step and end (exclusive) of each stretch, int64 (M, 2), ordered by start, then length.
        transported: Similarity by transport, the mean over the kinds of descriptor, fp32 (M, K).
        worst: Cosine of the Temporal Descriptor that is matched worst, fp32 (M, K); equal to `transported` if there are
            no such descriptors.
        scored_by: Meaning of the evidence in words.
    """

    video: EmbeddedVideo
    classes: tuple[str, ...]
    spans: Tensor
    transported: Tensor
    worst: Tensor
    scored_by: str

    @property
    def evidence(self) -> Tensor:
        """Three quarters of the transported similarity and a quarter of the worst step, fp32 (M, K)."""
        return torch.lerp(self.transported, self.worst, _WORST_SHARE)

    def seconds(self) -> Tensor:
        """Start and end of each stretch in seconds, fp64 (M, 2)."""
        return self.video.edges[self.spans]

    def __repr__(self) -> str:
        return f"StretchScores({self.video.video!r}, {len(self.spans)} stretches, {len(self.classes)} classes)"


@torch.inference_mode()
def stretch_scores(
    video: EmbeddedVideo,
    texts: Mapping[SentenceKind, Tensor],
    classes: Sequence[str],
    settings: StretchSettings = StretchSettings(),  # frozen
) -> StretchScores:
    """Scores stretches of a video against all classes, by transport that respects the order of steps.

    The problems of all stretches are solved together, in parts only to bound memory. There are K problems per kind of
    descriptor for each start and length, so time grows in proportion to the video's length, the number of lengths and
    the number of classes, and falls with the stride. How long the lengths are does not matter.

    Args:
        video: Embedded video.
        texts: Sentence embeddings by kind, each (K, N, d), on the device for computation. With descriptors, these
            decide; otherwise, frames are averaged and compared with the names.
        classes: Names of the classes, K of them.
        settings: Settings of the stretches.

    Warns:
        TransportWarning: If transport problems have not converged.
    """
    spans = stretch_spans(video.runs(), video.rate, settings)
    kinds: list[DescriptorKind] = [kind for kind in scored_kinds(texts) if kind != "name"]
    if kinds:
        scored_by = "transport and a quarter of the worst step" if "temporal" in kinds else "transport"
    else:
        scored_by = "pooled cosine with class names"
    sentences = sum(len(texts[kind].flatten(0, 1)) for kind in kinds) or len(classes)
    parts = spans.split(max(1, _ENTRIES // (settings.looks * sentences)))
    found = [
        _transported(video, part, {kind: texts[kind] for kind in kinds}, settings)
        if kinds
        else _pooled(video, part, texts["name"], settings)
        for part in parts
        if len(part)
    ]
    transported, worst, unconverged = zip(*found, strict=True) if found else ((), (), ())
    if lost := sum(unconverged):
        warnings.warn(
            f"{video.video}: {lost} transport problems have not converged after {_MAX_ITERATIONS} iterations. Raise "
            f"epsilon ({settings.epsilon:g}) or order_sigma ({settings.order_sigma}).",
            TransportWarning,
            stacklevel=3,  # beyond the decorator
        )
    empty = torch.empty(0, len(classes))
    return StretchScores(
        video, tuple(classes), spans, torch.cat([empty, *transported]), torch.cat([empty, *worst]), scored_by
    )


def scored_kinds(texts: Mapping[SentenceKind, Tensor]) -> list[SentenceKind]:
    """Returns the kinds of sentences that scores depend on: descriptors, or else names."""
    descriptors: list[SentenceKind] = [kind for kind in DESCRIPTOR_KINDS if kind in texts]
    return descriptors or ["name"]


def stretch_spans(runs: Sequence[tuple[int, int]], rate: float, settings: StretchSettings) -> Tensor:
    """Returns the stretches within the parts between gaps; a part shorter than all lengths is one stretch.

    Args:
        runs: Parts between gaps as steps [start, end) of the grid.
        rate: Number of steps per second.
        settings: Settings of the stretches.

    Returns:
        First step and end (exclusive) of each stretch, int64 (M, 2), ordered by start, then length.
    """
    lengths = sorted({max(1, round(length * rate)) for length in settings.lengths})
    stride = max(1, round(settings.stride * rate))
    found: set[tuple[int, int]] = set()
    for start, end in runs:
        if end - start < lengths[0]:
            found.add((start, end))
        for length in lengths:
            if length <= end - start:
                found.update((s, s + length) for s in range(start, end - length + 1, stride))
                found.add((end - length, end))  # wherever the stride ends, the end of the part is seen
    return torch.tensor(sorted(found), dtype=torch.int64).view(-1, 2)


def look_steps(spans: Tensor, looks: int) -> Tensor:
    """Returns the steps of the grid that represent each stretch, evenly spread, int64 (M, looks).

    Args:
        spans: First step and end (exclusive) of each stretch, int64 (M, 2).
        looks: Number of frames that represent a stretch.
    """
    middles = (torch.arange(looks) + 0.5) / looks
    return (spans[:, :1] + middles * (spans[:, 1:] - spans[:, :1])).long()


def _looks(video: EmbeddedVideo, spans: Tensor, looks: int) -> tuple[Tensor, Tensor]:
    """Embeddings of the frames that some stretches need, (F', d), and the rows of each stretch's looks, (m, looks)."""
    rows = video.rows[look_steps(spans, looks)]
    first, last = int(rows.min()), int(rows.max())
    return video.embeddings[first : last + 1], rows - first


def _transported(
    video: EmbeddedVideo, spans: Tensor, texts: Mapping[DescriptorKind, Tensor], settings: StretchSettings
) -> tuple[Tensor, Tensor, int]:
    """Transported similarity and worst step, each (m, K), and the number of problems that have not converged."""
    device = next(iter(texts.values())).device
    frames, rows = (part.to(device) for part in _looks(video, spans, settings.looks))
    similarities, worst, unconverged = [], None, 0
    for kind, descriptors in texts.items():
        # every frame is compared once, though many stretches look at it
        cosines = torch.einsum("fd,knd->fkn", frames, descriptors)[rows].transpose(1, 2)
        problem = TransportProblem(order_sigma=settings.order_sigma) if kind == "temporal" else BALANCED
        plan, lost = _solved(cosines, problem, settings.epsilon)
        matched = (plan * cosines).sum(-2)
        similarities.append(matched.sum(-1))
        unconverged += lost
        if kind == "temporal":
            worst = matched.shape[-1] * matched.amin(-1)
    similarity = torch.stack(similarities).mean(0)
    return similarity.cpu(), (similarity if worst is None else worst).cpu(), unconverged


def _solved(cosines: Tensor, problem: TransportProblem, epsilon: float) -> tuple[Tensor, int]:
    """Plans, and the number of problems that have not converged."""
    solved = solve_transport(cosines, problem=problem, epsilon=epsilon, max_iterations=_FIRST_ITERATIONS)
    slow = ~solved.converged
    if not bool(slow.any()):
        return solved.plan, 0
    again = solve_transport(cosines[slow], problem=problem, epsilon=epsilon, max_iterations=_MAX_ITERATIONS)
    solved.plan[slow] = again.plan
    return solved.plan, int((~again.converged).sum())


def _pooled(
    video: EmbeddedVideo, spans: Tensor, names: Tensor, settings: StretchSettings
) -> tuple[Tensor, Tensor, int]:
    """Cosine of the mean frame and the name, as in `CategoryName`, twice, and 0."""
    frames, rows = (part.to(names.device) for part in _looks(video, spans, settings.looks))
    cosines = frames @ F.normalize(names.mean(1), dim=-1).T
    similarity = cosines[rows].mean(1).cpu()
    return similarity, similarity, 0
