"""Which video it is, whatever list or format names it: to compare lists with one another."""

import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Final, Literal

IdKind = Literal["video", "file"]
_YOUTUBE: Final = (
    re.compile(r"([\w-]{11})_\d{6}_\d{6}"),  # Kinetics: id_first second_last second
    re.compile(r"v_([\w-]{11})"),  # ActivityNet
)


def video_id(path: str, kind: IdKind = "video") -> str:
    """What identifies a video.

    Args:
        path: Path, file name or id.
        kind: `file` is the file's stem. `video` is the YouTube id in a name of Kinetics (`id_000012_000022.mp4`) or
            ActivityNet (`v_id.mp4`), so that two clips of one video are the same, and the stem elsewhere.
    """
    name = PurePosixPath(PurePosixPath(path.replace("\\", "/")).name.strip())
    stem = name.stem if re.fullmatch(r"\.[A-Za-z]\w{1,4}", name.suffix) else name.name
    if kind == "file":
        return stem
    return next((match[1] for pattern in _YOUTUBE if (match := pattern.fullmatch(stem))), stem)


def id_hash(id_: str) -> int:
    """An id as a signed 64-bit number, so that many of them are small."""
    return int.from_bytes(blake2b(id_.encode(), digest_size=8).digest(), "big", signed=True)


def list_digest(entries: Iterable[str]) -> str:
    """One number for a set of videos, whatever their order.

    Returns:
        16 hexadecimal digits.
    """
    return blake2b("\n".join(sorted(entries)).encode(), digest_size=8).hexdigest()
