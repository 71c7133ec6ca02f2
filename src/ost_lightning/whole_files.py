"""Files that are whole or not there."""

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Writes a text in UTF-8 under another name and renames it: nobody ever sees a half-written file.

    Args:
        file: Its folder is made if it is not there.
        text: The whole content.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
