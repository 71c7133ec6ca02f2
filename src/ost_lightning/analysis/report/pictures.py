"""Pictures as parts of a page."""

from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from ost_lightning.errors import UserError
from ost_lightning.pages import data_url

_WIDTH: Final = 1440
_QUALITY: Final = 80


def picture_url(file: Path) -> str:
    """Returns the URL that contains a picture as WebP, at most 1440 pixels wide: tens of kilobytes.

    Args:
        file: Picture in any format that Pillow reads.

    Raises:
        UserError: If the file is not a picture.
    """
    written = BytesIO()
    try:
        with Image.open(file) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not a picture ({error}).") from error
    small.thumbnail((_WIDTH, 10 * _WIDTH))
    small.save(written, "WEBP", quality=_QUALITY)
    return data_url(written.getvalue(), "image/webp")
