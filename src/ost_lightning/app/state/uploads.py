"""Videos that people upload: checked before anything is computed, named without their folders."""

from pathlib import Path

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import video_times
from ost_lightning.video import VideoReadError, open_video
from ost_lightning.vocabulary import counted


def check_video(video: Path, max_size: int) -> float:
    """Checks that an uploaded file is a video; nothing is decoded, so that a long one is accepted as fast as others.

    Args:
        video: Uploaded file.
        max_size: Largest size in bytes.

    Returns:
        Length of the video in seconds.

    Raises:
        UserError: If it is too large, or no readable video.
    """
    name = video_name(video)
    if not video.is_file():
        raise UserError(f"{name} is no longer there: uploads are deleted after a while. Upload it again.")
    if (size := video.stat().st_size) > max_size:
        raise UserError(f"{name} has {size / 1e6:,.1f} MB: expected at most {max_size / 1e6:,.1f} MB (--max_upload).")
    if not size:
        raise UserError(f"{name} is empty: expected a video.")
    try:
        with open_video(video) as opened:
            _, duration = video_times(opened)
    except VideoReadError as error:
        raise UserError(f"{name} can't be used: {error.reason}.") from error
    return duration


def video_name(video: Path) -> str:
    """Returns the name of a video without its folder; control characters are shown as their codes."""
    return escaped(video.name)


def without_folder(message: str, video: Path | None) -> str:
    """Returns a message that names a video without the folder in which the app keeps it."""
    return message if video is None else message.replace(str(video), video_name(video))


def readable_size(size: int) -> str:
    """Returns a size in words.

    Args:
        size: Size in bytes.

    Examples:
        >>> readable_size(500_000_000), readable_size(1)
        ('500 MB', '1 byte')
    """
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else counted(size, "byte")
