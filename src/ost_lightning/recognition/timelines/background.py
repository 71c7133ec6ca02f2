"""The level above which a class counts, measured with videos that show none of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines.decoders import TimelineDecoder
from ost_lightning.recognition.timelines.stretches import StretchScores
from ost_lightning.vocabulary import counted


@dataclass(frozen=True, slots=True)
class Background:
    """Level that was measured with videos that show none of the classes.

    Attributes:
        level: Evidence above which a class counts.
        share: Share of these videos' stretches (or steps) above the level, as requested.
        held_out: The same share with the level of the other videos, for each video in turn: what to expect of further
            videos of this kind. None with a single video.
        videos: Number of videos.
        seconds: Length of all of them.
    """

    level: float
    share: float
    held_out: float | None
    videos: int
    seconds: float

    def __str__(self) -> str:
        held_out = "" if self.held_out is None else f"; {100 * self.held_out:.1f} % in a video that is left out"
        return (
            f"Level {self.level:.3f}: {100 * self.share:g} % of {counted(self.videos, 'background video')} "
            f"({self.seconds:.0f} s) is above it{held_out}."
        )


def measure_background(scores: Sequence[StretchScores], decoder: TimelineDecoder, share: float = 0.05) -> Background:
    """Measures the level that a share of background exceeds.

    Args:
        scores: Scores of videos that show none of the classes, and are otherwise like those to be decoded.
        decoder: Decoder that the level is for.
        share: Share of the background that may be above the level, between 0 and 1.

    Raises:
        UserError: If the share is out of range, or nothing was scored.
    """
    if not 0 < share < 1:
        raise UserError(f"The share of background above the level is {share}: expected a number between 0 and 1.")
    best = [values for one in scores if len(values := decoder.best_evidence(one))]
    if not best:
        raise UserError("There is no background to measure the level with: expected at least one readable video.")
    held_out = None
    if len(best) > 1:
        above = [(best[k] > _quantile(best[:k] + best[k + 1 :], share)).float().mean() for k in range(len(best))]
        held_out = float(torch.stack(above).mean())
    seconds = sum(one.video.duration for one in scores)
    return Background(_quantile(best, share), share, held_out, len(best), seconds)


def _quantile(values: Sequence[Tensor], share: float) -> float:
    return float(torch.cat(list(values)).quantile(1 - share))
