"""Timelines as pictures: one row per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.analysis.pictures import COLORS, WIDTH, picture
from ost_lightning.characters import one_line
from ost_lightning.recognition.timelines.timeline import Timeline, clock
from ost_lightning.vocabulary import counted

_ROWS: Final = 30
"""Number of classes up to which those that were not found have a row, too."""
_LONGEST_NAME: Final = 32
_ROW_HEIGHT: Final = 0.24  # inches
_WIDE_ENOUGH: Final = 0.045
"""Share of the width from which on a segment has room for its score."""
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600)


def draw_timeline(file: Path, timelines: Sequence[Timeline]) -> None:
    """Draws the segments of one video, with a mark at the frame that decided and hatching over gaps.

    Raises:
        UserError: If matplotlib is not installed.
    """
    (timeline,) = timelines
    found = {segment.label for segment in timeline.segments}
    shown = [name for name in timeline.classes if name in found or len(timeline.classes) <= _ROWS]
    shown += sorted(found - set(shown))
    hidden = len(timeline.classes) - len(shown)
    rest = f", {hidden} other classes were not found" if hidden > 0 else ""
    title = (
        f"{one_line(timeline.video)}: {counted(len(timeline.segments), 'segment')} with their scores in "
        f"{clock(timeline.duration)}{rest}"
    )
    with picture(file, WIDTH, 1.0 + _ROW_HEIGHT * max(2, len(shown)), title) as figure:
        axis = figure.subplots()
        for segment in timeline.segments:
            row = shown.index(segment.label)
            # the edge keeps a second visible in a video of hours
            color = COLORS[row % len(COLORS)]
            axis.barh(row, segment.seconds, left=segment.start, color=color, alpha=0.55, linewidth=1, zorder=2)
            if segment.evidence:
                axis.plot([segment.evidence[0].second], [row + 0.34], marker="^", markersize=4, color="black", zorder=3)
            if segment.seconds > _WIDE_ENOUGH * timeline.duration:
                middle = (segment.start + segment.end) / 2
                axis.text(middle, row, f"{segment.score:.2f}", ha="center", va="center", fontsize=6, zorder=4)
        for gap in timeline.gaps:
            axis.axvspan(gap.start, gap.end, facecolor="none", edgecolor="gray", hatch="///", linewidth=0, zorder=1)
        axis.set_xlim(0, timeline.duration or 1)
        axis.set_ylim(max(2, len(shown)) - 0.5, -0.5)
        names = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in map(one_line, shown)]
        axis.set_yticks(range(len(shown)), names)
        step = next((step for step in _STEPS if timeline.duration / step <= 10), _STEPS[-1])
        ticks = [step * k for k in range(int(timeline.duration / step) + 1)]
        axis.set_xticks(ticks, [clock(tick).removesuffix(".0") for tick in ticks])
        axis.grid(axis="x", linewidth=0.4, zorder=0)
        if not timeline.segments:
            axis.text(0.5, 0.5, "none of the classes", transform=axis.transAxes, ha="center", va="center")
