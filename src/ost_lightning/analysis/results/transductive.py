"""Accuracy with a test-time cache, which adapts scores by other videos of the test: a protocol of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from ost_lightning.escaping import markdown_text

PROTOCOL: Final = "transductive"
"""Name of the protocol in tables and files."""


@dataclass(frozen=True, slots=True)
class TransductiveScore:
    """Accuracy of some weights on one evaluation set with a test-time cache.

    Attributes:
        top1: Top-1 accuracy over all videos, 0 to 1; unreadable ones count as wrong.
        top5: Top-5 accuracy over all videos, 0 to 1.
        scored: Number of scored videos.
        undecodable: Number of scored videos that could not be read.
        cache: Settings of the cache.
    """

    top1: float
    top5: float
    scored: int
    undecodable: int
    cache: Mapping[str, Any]


def transductive_score(
    probabilities: Tensor, labels: Tensor, undecodable: int, cache: Mapping[str, Any]
) -> TransductiveScore:
    """Returns the accuracy of adapted probabilities.

    Args:
        probabilities: Adapted class probabilities of the readable videos, (n, K).
        labels: Labels of these videos, int64 (n,).
        undecodable: Number of videos that could not be read.
        cache: Settings of the cache.
    """
    best = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    scored = len(labels) + undecodable
    first, fifth = (int(found.sum()) / max(1, scored) for found in (hits[:, 0], hits.any(1)))
    return TransductiveScore(round(first, 6), round(fifth, 6), scored, undecodable, dict(cache))


def transductive_table(scores: Mapping[str, Mapping[str, TransductiveScore]]) -> str:
    """Returns a Markdown table of scores by set and name of the weights."""
    lines = [
        "| set | weights | protocol | transductive Top-1 | transductive Top-5 | cache |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for name, of_weights in scores.items():
        for weights, score in of_weights.items():
            cache = ", ".join(f"{key} {value}" for key, value in score.cache.items())
            lines.append(
                f"| {markdown_text(name)} | {markdown_text(weights)} | {PROTOCOL} | {100 * score.top1:.1f} | "
                f"{100 * score.top5:.1f} | {markdown_text(cache)} |"
            )
    return "\n".join(lines)
