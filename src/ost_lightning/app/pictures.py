"""Pictures as data URLs, so that no file of a session is left anywhere."""

import base64
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.library.asking import FoundSegments
from ost_lightning.recognition import Explanation, Recognizer, draw_maps, draw_matches
from ost_lightning.video.clips.frame_pictures import read_pictures
from ost_lightning.video.storage import is_remote

FLOW: Final = "Which frames match which sentences"
MAPS: Final = "Where the encoder looked"
_MAPPED: Final = 4
"""Sentences whose attention is drawn."""


def explanation_pictures(recognizer: Recognizer, explanation: Explanation) -> tuple[dict[str, str], str]:
    """Draws the matching flow and the attention maps.

    Args:
        recognizer: Recognizer that explained.
        explanation: Explanation of one class.

    Returns:
        Data URLs by what they show, and why one of them is missing; empty if none is.
    """
    found: dict[str, str] = {}
    try:
        with TemporaryDirectory() as folder:
            flow, maps = Path(folder) / "flow.png", Path(folder) / "maps.png"
            draw_matches(explanation, flow)
            found[FLOW] = data_url(flow.read_bytes(), "png")
            best = sorted(explanation.matches, key=lambda match: -match.cosine)[:_MAPPED]
            draw_maps(explanation, best, recognizer.maps(explanation, matches=best), maps)
            found[MAPS] = data_url(maps.read_bytes(), "png")
    except UserError as error:
        return found, str(error)
    return found, ""


def hit_pictures(found: FoundSegments) -> Sequence[str | None]:
    """Returns the frame of each segment that fits best; None where the video is gone or on the network."""
    pictures: list[str | None] = []
    for one in found.segments:
        second = one.segment.start if one.second is None else one.second
        known = None if one.moved or is_remote(one.segment.video) else read_pictures(one.segment.video, [second])[0]
        pictures.append(None if known is None else data_url(known, "jpeg"))
    return pictures


def data_url(picture: bytes, kind: str) -> str:
    """Returns the URL that contains a picture.

    Args:
        picture: Encoded picture.
        kind: Format, as in `image/png`.
    """
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
