"""Decoders and kinds of evidence, with settings that seen classes chose, on long videos of unseen classes."""

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from footage import Footage, Group
from measures import TIOUS, edit_score, frame_accuracy, mean_average_precision
from torch import Tensor

from ost_lightning.recognition.timelines import (
    GRID_RATE,
    Decoding,
    Segment,
    StretchDecoder,
    StretchScores,
    StretchSettings,
    ThresholdDecoder,
    TimelineDecoder,
    TransportDecoder,
    ViterbiDecoder,
)
from ost_lightning.toyworld.long_videos import BACKGROUND_KINDS

QUANTILES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93)
"""Levels that are tried: quantiles of the best class's evidence on seen classes' videos of all draws."""
FIVE = (2.0, 2.6, 3.5, 4.6, 6.0)
Evidence = Callable[[dict[float | None, StretchScores]], tuple[Tensor, Tensor]]
Row = dict[str, float]


def ordered(scores: dict[float | None, StretchScores]) -> tuple[Tensor, Tensor]:
    """As scored, with the only width there is."""
    (only,) = scores.values()
    return only.transported, only.worst


def half_worst(scores: dict[float | None, StretchScores]) -> tuple[Tensor, Tensor]:
    both = (scores[0.3].transported + scores[0.3].worst) / 2
    return both, both


def transported_only(scores: dict[float | None, StretchScores]) -> tuple[Tensor, Tensor]:
    return scores[0.3].transported, scores[0.3].transported


def averaged(scores: dict[float | None, StretchScores]) -> tuple[Tensor, Tensor]:
    both = (scores[0.15].evidence + scores[0.3].evidence) / 2
    return both, both


def capped(scores: dict[float | None, StretchScores]) -> tuple[Tensor, Tensor]:
    """A narrow prior whose loss against no prior is bounded."""
    both = torch.maximum(scores[0.15].evidence, scores[None].evidence - 0.05)
    return both, both


def less_usual(scores: dict[float | None, StretchScores]) -> tuple[Tensor, Tensor]:
    """Less half of what the class has on average in the video."""
    (only,) = scores.values()
    usual = only.evidence - 0.5 * only.evidence.mean(0)
    return usual, usual


@dataclass(frozen=True, eq=False)
class Variant:
    """A decoder with one kind of evidence.

    Attributes:
        name: Words for the table.
        decoder: Decoder without a level.
        grid: Values to try by setting.
        evidence: Transported similarity and worst step to decode from, given the scores for each width of the prior.
        sigmas: Widths of the prior that the evidence needs.
        lengths: Lengths of stretches.
        rate: Frames per second.
    """

    name: str
    decoder: type[TimelineDecoder]
    grid: dict[str, tuple[float, ...]]
    evidence: Evidence = ordered
    sigmas: tuple[float | None, ...] = (0.3,)
    lengths: tuple[float, ...] = StretchSettings().lengths
    rate: float = GRID_RATE

    def scores(self, footage: Footage, shuffled: bool) -> list[StretchScores]:
        by_sigma = [
            footage.scores(StretchSettings(order_sigma=sigma, lengths=self.lengths), shuffled, self.rate)
            for sigma in self.sigmas
        ]
        return [self.of(dict(zip(self.sigmas, one, strict=True))) for one in zip(*by_sigma, strict=True)]

    def of(self, scores: dict[float | None, StretchScores]) -> StretchScores:
        """Returns the scores to decode from, given those for each width of the prior."""
        transported, worst = self.evidence(scores)
        return replace(next(iter(scores.values())), transported=transported, worst=worst)


BASELINE = Variant("threshold and merge, windows", ThresholdDecoder, {"shortest": (0.5, 1.25, 1.75)})
DEFAULT = Variant("**stretches (default)**", StretchDecoder, {})
NO_CONTRAST = Variant("no contrast", StretchDecoder, {"contrast": (0.0,)})
RELATIVE = Variant("less half of the video's mean", StretchDecoder, {"contrast": (0.0,)}, less_usual)
VARIANTS = (
    BASELINE,
    Variant("Viterbi, windows", ViterbiDecoder, {"switch": (0.005, 0.01, 0.02, 0.05)}),
    Variant("transport of video (ASOT), windows", TransportDecoder, {"smoothness": (0.5, 0.7, 0.85)}),
    DEFAULT,
    NO_CONTRAST,
    Variant("half worst step, no contrast", StretchDecoder, {"contrast": (0.0,)}, half_worst),
    RELATIVE,
    Variant("a cost per segment", StretchDecoder, {"cost": (0.05, 0.1)}),
    Variant("transport alone", StretchDecoder, {}, transported_only),
    Variant("five lengths instead of nine", StretchDecoder, {}, lengths=FIVE),
    Variant("8 frames per second", StretchDecoder, {}, rate=8.0),
    Variant("no order", StretchDecoder, {}, ordered, (None,)),
    Variant("order_sigma 0.15", StretchDecoder, {}, ordered, (0.15,)),
    Variant("mean of 0.3 and 0.15", StretchDecoder, {}, averaged, (0.3, 0.15)),
    Variant("0.15, at most 0.05 below none", StretchDecoder, {}, capped, (0.15, None)),
)


def measured(decoded: Sequence[Decoding], truth: Sequence[Sequence[Segment]], durations: list[float]) -> Row:
    """Returns all measures, in percent, and the number of segments per true one."""
    segments = [one.segments for one in decoded]
    maps = mean_average_precision([one.detections for one in decoded], truth)
    return {
        **{f"mAP@{tiou}": 100 * value for tiou, value in zip(TIOUS, maps, strict=True)},
        "timeline": 100 * mean_average_precision(segments, truth, (0.5,))[0],
        "frames": 100 * frame_accuracy(segments, truth, durations),
        "edit": 100 * statistics.mean(edit_score(own, right) for own, right in zip(segments, truth, strict=True)),
        "segments": sum(map(len, segments)) / sum(map(len, truth)),
    }


def settings(variant: Variant, seen: Sequence[Sequence[StretchScores]]) -> Iterator[TimelineDecoder]:
    """Yields the decoder with every setting."""
    for values in itertools.product(*variant.grid.values()):
        decoder = variant.decoder(**dict(zip(variant.grid, values, strict=True)))
        best = torch.cat([decoder.best_evidence(one) for videos in seen for one in videos]).sort().values
        for quantile in QUANTILES:
            yield replace(decoder, level=float(best[int(quantile * len(best))]))


def objective(rows: Sequence[Row]) -> float:
    """Returns what settings are chosen by."""
    return statistics.mean((row["mAP@0.5"] + row["frames"] + row["edit"]) / 3 for row in rows)


@dataclass(frozen=True)
class Result:
    """Measures of a variant on unseen classes by draw, and the decoder that seen classes chose."""

    rows: list[Row]
    decoder: TimelineDecoder


def compare(footage: Callable[[int, Group], Footage], draws: Sequence[int], variant: Variant, shuffled: bool) -> Result:
    """Chooses a variant's settings on seen classes, and measures it on unseen ones."""

    def rows(group: Group, decoder: TimelineDecoder, scores: Sequence[Sequence[StretchScores]]) -> list[Row]:
        found = []
        for draw, videos in zip(draws, scores, strict=True):
            durations = [one.video.duration for one in videos]
            decoded = [decoder.decode(one) for one in videos]
            found.append(measured(decoded, footage(draw, group).actions_shown(), durations))
        return found

    seen = [variant.scores(footage(draw, "seen"), shuffled) for draw in draws]
    decoder = max(settings(variant, seen), key=lambda decoder: objective(rows("seen", decoder, seen)))
    unseen = [variant.scores(footage(draw, "unseen"), shuffled) for draw in draws]
    return Result(rows("unseen", decoder, unseen), decoder)


def false_alarms(footage: Footage, decoders: Sequence[TimelineDecoder]) -> Row:
    """Returns the share of each kind of background that segments cover, in percent, and false segments per minute.

    Args:
        footage: Videos.
        decoders: Decoder of each video.
    """
    covered: dict[str, list[tuple[float, float]]] = {}
    false = seconds = 0.0
    shown = zip(DEFAULT.scores(footage, shuffled=False), footage.truth, decoders, strict=True)
    for scores, parts, decoder in shown:
        segments = decoder.decode(scores).segments
        seconds += scores.video.duration
        for part in parts:
            shared = sum(max(0.0, min(part.end, s.end) - max(part.start, s.start)) for s in segments)
            covered.setdefault(part.kind, []).append((shared, part.end - part.start))
        actions = [part for part in parts if part.label]
        false += sum(
            not any(min(part.end, s.end) - max(part.start, s.start) > s.seconds / 2 for part in actions)
            for s in segments
        )
    shares = {kind: 100 * sum(s for s, _ in v) / sum(t for _, t in v) for kind, v in covered.items()}
    row = {kind: shares[kind] for kind in ("action", *BACKGROUND_KINDS) if kind in shares}
    background = [pair for kind, v in covered.items() if kind != "action" for pair in v]
    row["all background"] = 100 * sum(s for s, _ in background) / sum(t for _, t in background)
    row["false per minute"] = 60 * false / seconds
    return row
