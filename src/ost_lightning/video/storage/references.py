"""How a file, such as a page, refers to a video."""

import base64
import mimetypes
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ost_lightning.video.storage.addresses import VideoAddress, is_remote

EMBED_LIMIT: Final = 8_000_000
"""Size in bytes up to which a video becomes part of the page about it."""


def reference(video: str, folder: Path) -> str:
    """Returns how a file in a folder refers to a video: the relative path with `/`, or the URL.

    Args:
        video: Path, relative to the working directory, or URL.
        folder: Folder of the file.
    """
    if is_remote(video):
        return video
    # links in the way are followed, but not the video's own, whose target may be called otherwise
    path = os.path.join(os.path.realpath(os.path.dirname(video)), os.path.basename(os.path.normpath(video)))
    try:
        return Path(os.path.relpath(path, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return Path(path).as_posix()


def address_text(address: VideoAddress) -> str:
    """Returns an address as a text that means the same in any working directory: absolute path, or URL."""
    return os.path.abspath(address) if isinstance(address, Path) else str(address)


def video_url(video: str, folder: Path) -> str:
    """Returns the URL of a local video, relative to the folder of a page if possible.

    Args:
        video: Path of a file.
        folder: Folder of the page.
    """
    relative = reference(video, folder)
    # ./ because a name with a colon would be taken for a URL
    return Path(relative).as_uri() if Path(relative).is_absolute() else f"./{quote(os.fsencode(relative))}"


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


def video_for_page(video: str, folder: Path, embed_limit: int = EMBED_LIMIT) -> dict[str, str]:
    """Returns what the player of a page needs: the video's content and type, its URL, or why it can't be played.

    A small video becomes part of the page. A larger one is referred to by its path from the page's folder, so both have
    to be moved together. A video at a URL is not played, because the page doesn't use the network.

    Args:
        video: Path, or URL.
        folder: Folder of the page.
        embed_limit: Largest size in bytes of a video that becomes part of the page.
    """
    if missing := unplayable(video):
        return {"missing": missing}
    path = Path(video)
    if path.stat().st_size <= embed_limit:
        kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
        return {"type": kind, "content": base64.b64encode(path.read_bytes()).decode("ascii")}
    return {"url": video_url(video, folder)}
