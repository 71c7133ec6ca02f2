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
    re.compile(r"(?=.*\d)(?=.*[a-z])(?=.+[A-Z])([\w-]{11})"),  # the id alone; drawn at random, it is no word
)
_BENCHMARKS: Final = (
    re.compile(r"v_[A-Za-z]+_g\d\d_c\d\d"),  # UCF101
    re.compile(r".+_[fhlu]_[cn]m_np\d+_(ba|fr|le|ri)_(bad|goo|med)_\d+"),  # HMDB51
)
_PART: Final = re.compile(r"(?<=[\w)])@[\d.]+-[\d.]*$")  # a table's name for a part of a video
_SSV2_FILE: Final = re.compile(r"[1-9]\d{4,5}\.webm")
_SSV2_FOLDER: Final = re.compile(r"(20bn-)?(something-something|sth-sth|ssv|sthv).*", re.IGNORECASE)


def video_id(path: str, kind: IdKind = "video") -> str:
    """What identifies a video.

    A name that its publisher gave identifies it wherever it lies. Elsewhere `1.mp4` may lie in the folder of every
    class: there it is the whole path below the root, without the extension. The parts of a video (`a.mp4@1.5-4`) are
    that video.

    Args:
        path: Path below the root, file name or id.
        kind: `file` is the file's stem. `video` is the YouTube id in a name of Kinetics (`id_000012_000022.mp4`) or
            ActivityNet (`v_id.mp4`), so that two clips of one video are the same; the stem of a name of HMDB51, UCF101
            or Something-Something; and elsewhere the path.
    """
    whole = PurePosixPath(_PART.sub("", path).replace("\\", "/"))
    name = PurePosixPath(whole.name.strip())
    stem = name.stem if re.fullmatch(r"\.[A-Za-z]\w{1,4}", name.suffix) else name.name
    if kind == "file":
        return stem
    if youtube := next((match[1] for pattern in _YOUTUBE if (match := pattern.fullmatch(stem))), None):
        return youtube
    published = any(pattern.fullmatch(stem) for pattern in _BENCHMARKS) or _is_ssv2(name.name, stem, whole.parent.name)
    return stem if published else str(whole.parent / stem)


def _is_ssv2(name: str, stem: str, folder: str) -> bool:
    """Something-Something's names are numbers, as those of many others are."""
    numbered = stem.isascii() and stem.isdigit()
    return numbered and bool(_SSV2_FILE.fullmatch(name) or _SSV2_FOLDER.fullmatch(folder))


def id_hash(id_: str) -> int:
    """An id as a signed 64-bit number, so that many of them are small."""
    return int.from_bytes(blake2b(id_.encode(), digest_size=8).digest(), "big", signed=True)


def list_digest(entries: Iterable[str]) -> str:
    """One number for a set of videos, whatever their order.

    Returns:
        16 hexadecimal digits.
    """
    return blake2b("\n".join(sorted(entries)).encode(), digest_size=8).hexdigest()
