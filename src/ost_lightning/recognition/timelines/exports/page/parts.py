"""What pages share: their frame, pictures, and references to videos."""

import base64
import hashlib
import html
import json
import os
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from ost_lightning.recognition.timelines.exports.names import one_line, reference
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


def page_html(package: str, title: str, data: dict[str, Any]) -> str:
    """Returns a page that needs no network, and whose security policy allows only its own script and styles.

    Args:
        package: Package with the page's body (`page.html`), styles (`style.css`) and script (`script.js`). The frame
            around the body is `shell.html`, with `shell.css`.
        title: Title; it is escaped.
        data: Data for the script.
    """

    def text(folder: str, name: str) -> str:
        return (files(folder) / name).read_text(encoding="utf-8")

    style, script = text(__package__, "shell.css") + text(package, "style.css"), text(package, "script.js")
    return Template(text(__package__, "shell.html")).substitute(
        title=html.escape(one_line(title)),
        style=style,
        style_hash=_source_hash(style),
        body=text(package, "page.html"),
        script=script,
        script_hash=_source_hash(script),
        data=_script_json(data),
    )


def _script_json(data: dict[str, Any]) -> str:
    """Returns JSON that can't end the script element which it stands in."""
    text = json.dumps(data, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source_hash(text: str) -> str:
    """Returns the source expression of a Content Security Policy for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
