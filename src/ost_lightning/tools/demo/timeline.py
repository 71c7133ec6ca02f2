"""The last step of `ost demo`: a page that shows what happens when in a long rendered video."""

import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ost_lightning.recognition import Recognizer
from ost_lightning.recognition.timelines import Segment, StretchDecoder, Timeline, save_timeline
from ost_lightning.toyworld.long_videos import LongVideoClasses, LongVideoPart, write_long_video

_BACKGROUND_VIDEOS: Final = 4
_SAME: Final = 0.5
"""Temporal intersection over union from which on a segment is an action."""


@dataclass(frozen=True, slots=True)
class DemoTimeline:
    """A long rendered video, what was found in it, and what it shows.

    Attributes:
        page: Page with the video and its segments.
        timeline: What was found.
        actions: Actions that the video shows, of unseen classes.
    """

    page: Path
    timeline: Timeline
    actions: tuple[LongVideoPart, ...]

    @property
    def found(self) -> int:
        """Number of actions that have a segment of their class, with an intersection over union of at least 0.5."""
        return sum(any(_same(segment, action) for segment in self.timeline.segments) for action in self.actions)


def write_demo_timeline(weights: str | Path, draw: int, folder: Path, actions: int = 6) -> DemoTimeline:
    """Renders a long video of unseen classes with background between them, and writes the page of its timeline.

    The level above which a class counts is measured with videos that show none of the classes.

    Args:
        weights: Weights for `Recognizer.load`.
        draw: Number of the draw of classes, 0 to 4.
        folder: Folder for long_video.mp4 and timeline.html.
        actions: Number of actions; each takes ten seconds with its background.
    """
    classes = LongVideoClasses.of(draw, "unseen")
    shown = random.Random(f"demo {draw}").sample(classes.listed, actions)
    video, page = folder / "long_video.mp4", folder / "timeline.html"
    parts = write_long_video(video, classes, shown, f"demo {draw}")
    recognizer = Recognizer.load(weights, classes.labels, "cpu")
    with TemporaryDirectory() as background:
        empty = [Path(background) / f"{k}.mp4" for k in range(_BACKGROUND_VIDEOS)]
        for file in empty:
            write_long_video(file, classes, (), f"demo {draw} {file.stem}")
        level = recognizer.measure_background(empty).level
    timeline = recognizer.timeline(video, StretchDecoder(level))
    save_timeline(timeline, page)
    return DemoTimeline(page, timeline, tuple(part for part in parts if part.kind == "action"))


def _same(segment: Segment, action: LongVideoPart) -> bool:
    shared = min(segment.end, action.end) - max(segment.start, action.start)
    union = max(segment.end, action.end) - min(segment.start, action.start)
    return segment.label == action.label and shared >= _SAME * union
