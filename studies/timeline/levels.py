"""Levels of the default decoder: false alarms of three ways to set it, and short videos that show one thing."""

import statistics
from collections.abc import Mapping, Sequence

from comparison import Row, Variant, false_alarms
from footage import Footage, of_rows

from ost_lightning.recognition.timelines import StretchDecoder, StretchScores, TimelineDecoder, measure_background

REPEATED = 4
"""How often the longer version of a short video shows its action."""


def ways(footage: Footage, chosen: TimelineDecoder) -> dict[str, Row]:
    """Returns the false alarms by way to set the level, also per minute of videos whose actions were taken out.

    `--background` gets the background of one half of the videos for the other half, and the other way round.
    """
    recognizer, without = footage.recognizer(), StretchDecoder()
    background = [recognizer.stretch_scores(video) for video in footage.background_only()]
    measured = [StretchDecoder(measure_background(background[other::2], without).level) for other in (1, 0)]
    videos = range(len(background))
    minutes = sum((scores.video.rows >= 0).sum().item() / scores.video.rate for scores in background) / 60

    def row(decoders: Sequence[TimelineDecoder]) -> Row:
        found = sum(len(own.decode(scores).segments) for own, scores in zip(decoders, background, strict=True))
        return false_alarms(footage, decoders) | {"without actions": found / minutes}

    return {
        "chosen on seen classes": row([chosen for _ in videos]),
        "`--background`": row([measured[number % 2] for number in videos]),
        "none: that of `ost timeline` by default": row([without for _ in videos]),
    }


def short_videos(footage: Footage, decoders: Mapping[Variant, TimelineDecoder]) -> dict[str, Row]:
    """Returns the shares of parts that have segments when each is a video of its own, in percent, by variant.

    An action counts if segments of its class cover at least half of the video, background if there is any segment.
    """
    recognizer, parts = footage.recognizer(), list(footage.cut_out())
    shown = [part.label for part, _ in parts]
    alone = [recognizer.stretch_scores(video) for _, video in parts]
    repeated = [
        recognizer.stretch_scores(of_rows(video, video.rows.repeat(REPEATED))) for part, video in parts if part.label
    ]

    def found(variant: Variant, label: str | None, scores: StretchScores) -> bool:
        segments = decoders[variant].decode(variant.of({0.3: scores})).segments
        seconds = sum(segment.seconds for segment in segments if label in (None, segment.label))
        return seconds > 0 if label is None else seconds >= scores.video.duration / 2

    def share(variant: Variant, labels: Sequence[str | None], scores: Sequence[StretchScores]) -> float:
        return 100 * statistics.mean(found(variant, *pair) for pair in zip(labels, scores, strict=True))

    actions = [label for label in shown if label]
    of_actions, of_background = (
        [one for label, one in zip(shown, alone, strict=True) if bool(label) == listed] for listed in (True, False)
    )
    return {
        variant.name: {
            "an action": share(variant, actions, of_actions),
            f"an action, {REPEATED} times": share(variant, actions, repeated),
            "background": share(variant, [None] * len(of_background), of_background),
        }
        for variant in decoders
    }
