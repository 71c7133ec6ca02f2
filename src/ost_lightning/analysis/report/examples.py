"""A few videos of a test to look at: the worst mistakes, and the most typical recognitions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ost_lightning.analysis.report.scored_videos import ScoredVideo
from ost_lightning.pages import data_url
from ost_lightning.video.clips import middle_picture
from ost_lightning.video.storage import is_remote, unplayable, video_url

SHOWN_VIDEOS: Final = 6
"""Number of videos of each kind that a report shows."""
_NOT_SAVED: Final = "The test did not save the video's path."

Poster = Callable[[str, float | None, float | None], bytes | None]
"""Reader of a picture: path, start and end in seconds -> JPEG, or None if it can't be read."""


@dataclass(frozen=True, slots=True)
class Example:
    """A video in a report.

    Attributes:
        video: What was recognized in it.
        picture: URL that contains a picture; None if there is none.
        url: URL of the video from the report's folder; None if it can't be played.
        missing: Why it can't be played, or has no picture; empty if it can.
    """

    video: ScoredVideo
    picture: str | None
    url: str | None
    missing: str


def worst_videos(videos: Iterable[ScoredVideo]) -> list[ScoredVideo]:
    """Returns the videos with the most certain mistakes: by how far the label's probability is behind."""
    wrong = [video for video in videos if not video.error and not video.right]
    wrong.sort(key=lambda video: ((video.label_probability or 0.0) - video.probability, video.id))
    return wrong[:SHOWN_VIDEOS]


def typical_videos(videos: Iterable[ScoredVideo]) -> list[ScoredVideo]:
    """Returns the videos that are recognized with the highest probability, one per class."""
    best: dict[str, ScoredVideo] = {}
    for video in videos:
        if video.right and (video.label not in best or video.probability > best[video.label].probability):
            best[video.label] = video
    return sorted(best.values(), key=lambda video: (-video.probability, video.id))[:SHOWN_VIDEOS]


def examples(videos: Sequence[ScoredVideo], folder: Path, poster: Poster = middle_picture) -> tuple[Example, ...]:
    """Returns videos with what a page shows of them.

    Args:
        videos: Videos of a test.
        folder: Folder of the page.
        poster: Reader of pictures.
    """
    return tuple(_example(video, folder, poster) for video in videos)


def _example(video: ScoredVideo, folder: Path, poster: Poster) -> Example:
    if not video.path:
        return Example(video, None, None, _NOT_SAVED)
    missing = unplayable(video.path)
    if is_remote(video.path) or not Path(video.path).exists():
        return Example(video, None, None, missing)
    picture = poster(video.path, video.start, video.end)
    if picture is None:
        return Example(video, None, None, "The video can't be read any more.")
    return Example(video, data_url(picture), None if missing else video_url(video.path, folder), missing)
