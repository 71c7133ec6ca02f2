"""Small inputs of timelines: embedded videos and scores of stretches with known values."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.recognition.timelines import EmbeddedVideo, Gap, StretchScores


def unit_vectors(*shape: int, seed: int = 0) -> Tensor:
    """Random unit vectors."""
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def embedded_video(
    embeddings: Tensor, rate: float = 4.0, rows: Tensor | None = None, gaps: tuple[Gap, ...] = ()
) -> EmbeddedVideo:
    """A video with one frame per step unless there are rows."""
    rows = torch.arange(len(embeddings)) if rows is None else rows
    return EmbeddedVideo("match.mp4", len(rows) / rate, rate, embeddings, rows, "digest", gaps)


def scores_of(
    spans: Sequence[tuple[int, int]], evidence: Tensor, steps: int = 0, rate: float = 4.0, rows: Tensor | None = None
) -> StretchScores:
    """Scores of stretches, given as steps, with evidence (M, K); classes are named A, B, ..."""
    steps = steps or max((end for _, end in spans), default=1)
    rows = torch.zeros(steps, dtype=torch.int64) if rows is None else rows
    video = embedded_video(torch.ones(1, 1), rate, rows)
    classes = tuple("ABCDEFGH"[: evidence.shape[1]])
    order = sorted(range(len(spans)), key=spans.__getitem__)
    table = torch.tensor([spans[m] for m in order], dtype=torch.int64).view(-1, 2)
    return StretchScores(video, classes, table, evidence[order], evidence[order], "given")


def random_scores(seed: int, steps: int = 8, classes: int = 3, rate: float = 4.0) -> StretchScores:
    """Scores of all stretches of one to three steps, with random evidence."""
    spans = [(start, start + n) for start in range(steps) for n in (1, 2, 3) if start + n <= steps]
    evidence = torch.rand(len(spans), classes, generator=torch.Generator().manual_seed(seed))
    return scores_of(spans, evidence, steps, rate)
