"""Parts that pages share: data for scripts, pictures, references to videos, and hashes for the security policy."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ost_lightning.recognition.timelines.exports.names import reference
from ost_lightning.video.storage import is_remote


def unplayable(video: str) -> str:
    """Returns why a page can't play a video, or an empty text if it can.

    Args:
        video: Path, or URL.
    """
    if is_remote(video):
        return "The video is on the network, which this page does not use."
    if Path(video).is_dir():
        return "The video is a folder of pictures, which browsers do not play."
    return "" if Path(video).is_file() else "There was no video file when this page was made."


def video_url(video: str, folder: Path) -> str:
    """Returns the URL of a local video, relative to the folder of a page if possible.

    Args:
        video: Path of a file.
        folder: Folder of the page.
    """
    relative = reference(video, folder)
    # ./ because a name with a colon would be taken for a URL
    return Path(relative).as_uri() if Path(relative).is_absolute() else f"./{quote(os.fsencode(relative))}"


def data_url(picture: bytes) -> str:
    """Returns the URL that contains a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"


def script_json(data: dict[str, Any]) -> str:
    """Returns JSON that can't end the script element which it stands in."""
    text = json.dumps(data, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def source_hash(text: str) -> str:
    """Returns the source expression of a Content Security Policy for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
