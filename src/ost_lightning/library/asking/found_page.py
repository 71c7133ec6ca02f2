"""Found segments as one HTML page that needs no network: pictures, players and scores."""

from pathlib import Path
from typing import Any

from ost_lightning.characters import one_line
from ost_lightning.library.asking.found import FoundSegment, FoundSegments
from ost_lightning.pages import data_url, render_page
from ost_lightning.video.clips import FramePictures, read_pictures
from ost_lightning.video.storage import is_remote, unplayable, video_url


def write_found_page(found: FoundSegments, file: Path, pictures: FramePictures = read_pictures) -> None:
    """Writes the page of a search.

    The frame of each segment that fits best is read from its video now, and becomes part of the page. Local videos are
    played from where they are, by their paths from the page's folder. Those at URLs are not, because the page doesn't
    use the network.

    Args:
        found: Segments that were found.
        file: File to write.
        pictures: Reader of frames.
    """
    data = {
        "query": one_line(found.query),
        "summary": _capitalized(one_line(found.summary())),
        "ranked_by": found.ranked_by,
        "segments": [_segment(one, file.parent, pictures) for one in found.segments],
        "conditions": [[one_line(name), one_line(value)] for name, value in found.conditions.items()],
    }
    file.write_text(render_page("found", found.query, data), encoding="utf-8")


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _segment(found: FoundSegment, folder: Path, pictures: FramePictures) -> dict[str, Any]:
    stored = found.segment
    second = stored.start if found.second is None else found.second
    picture = None if found.moved or is_remote(stored.video) else pictures(stored.video, [second])[0]
    missing = unplayable(stored.video)
    return {
        "name": one_line(stored.video if is_remote(stored.video) else Path(stored.video).name),
        "path": one_line(stored.video),
        "score": found.score,
        "start": stored.start,
        "end": stored.end,
        "label": None if stored.label is None else one_line(stored.label),
        "picture": data_url(picture) if picture else None,
        "url": None if missing else video_url(stored.video, folder),
        "missing": missing,
    }
