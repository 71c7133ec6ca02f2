"""Measures of timelines: mAP of segments as ActivityNet defines it, accuracy of frames, edit score; AUROC."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ost_lightning.recognition.timelines import Segment

TIOUS = (0.3, 0.5, 0.7)


def overlaps(segment: Segment, others: Sequence[Segment]) -> np.ndarray:
    """Returns the temporal intersection over union of a segment with others, (n,)."""
    starts, ends = (np.array([getattr(other, name) for other in others]) for name in ("start", "end"))
    shared = np.minimum(ends, segment.end) - np.maximum(starts, segment.start)
    return shared.clip(min=0) / (np.maximum(ends, segment.end) - np.minimum(starts, segment.start))


def average_precision(
    found: Sequence[tuple[int, Segment]], truth: Mapping[int, Sequence[Segment]], tious: Sequence[float] = TIOUS
) -> list[float]:
    """Returns the average precision of one class at each threshold of overlap, interpolated as in ActivityNet.

    The most confident segments choose first; each takes the true segment that overlaps it most among those not taken.

    Args:
        found: Video and segment of each detection.
        truth: True segments by video.
        tious: Smallest intersections over union.
    """
    count = sum(map(len, truth.values()))
    ranked = sorted(found, key=lambda pair: -pair[1].score)
    shared = [overlaps(segment, truth[video]) if truth.get(video) else np.empty(0) for video, segment in ranked]
    values = []
    for tiou in tious:
        taken = {video: np.zeros(len(segments), bool) for video, segments in truth.items()}
        hits = np.zeros(len(ranked))
        for place, ((video, _), values_) in enumerate(zip(ranked, shared, strict=True)):
            free = np.where(taken[video], -1.0, values_) if len(values_) else values_
            if len(free) and free.max() >= tiou:
                taken[video][free.argmax()] = True
                hits[place] = 1
        values.append(_interpolated(hits, count))
    return values


def _interpolated(hits: np.ndarray, count: int) -> float:
    right = hits.cumsum()
    precision = np.concatenate([[0], right / np.arange(1, len(hits) + 1), [0]])
    recall = np.concatenate([[0], right / count, [1]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * envelope[steps]).sum())


def mean_average_precision(
    found: Sequence[Sequence[Segment]], truth: Sequence[Sequence[Segment]], tious: Sequence[float] = TIOUS
) -> list[float]:
    """Returns the mean over all classes that occur.

    Args:
        found: Detections of each video.
        truth: True segments of each video.
        tious: Smallest intersections over union.
    """
    labels = sorted({segment.label for segments in truth for segment in segments})
    by_class = []
    for label in labels:
        own = [(k, segment) for k, segments in enumerate(found) for segment in segments if segment.label == label]
        right = {k: [s for s in segments if s.label == label] for k, segments in enumerate(truth)}
        by_class.append(average_precision(own, {k: s for k, s in right.items() if s}, tious))
    return [float(np.mean(column)) for column in zip(*by_class, strict=True)]


def labeled(segments: Sequence[Segment], duration: float, rate: float = 8.0) -> list[str]:
    """Returns the label of each moment; an empty text for background."""
    labels = [""] * round(duration * rate)
    for segment in segments:
        first, last = round(segment.start * rate), round(segment.end * rate)
        labels[first:last] = [segment.label] * len(labels[first:last])
    return labels


def frame_accuracy(
    found: Sequence[Sequence[Segment]], truth: Sequence[Sequence[Segment]], durations: list[float]
) -> float:
    """Returns the share of moments of all videos whose class, or background, is right."""
    right = total = 0
    for own, wanted, duration in zip(found, truth, durations, strict=True):
        pairs = list(zip(labeled(own, duration), labeled(wanted, duration), strict=True))
        right, total = right + sum(a == b for a, b in pairs), total + len(pairs)
    return right / total


def edit_score(found: Sequence[Segment], truth: Sequence[Segment]) -> float:
    """Returns 1 minus Levenshtein's distance of the sequences of labels, over the longer one's length."""
    a, b = ([segment.label for segment in segments] for segments in (found, truth))
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return 1 - row[-1] / max(len(a), len(b), 1)


def auroc(known: Tensor, none: Tensor) -> float:
    """Returns the probability that a value of `known` is above one of `none`; ties count half."""
    ordered, both = none.double().sort().values, known.double()
    below = torch.searchsorted(ordered, both, right=False) + torch.searchsorted(ordered, both, right=True)
    return float(below.double().mean()) / 2 / len(none)
