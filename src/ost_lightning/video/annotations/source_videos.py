"""Source videos: which clips were cut from one recording, as far as file names tell."""

import re
from pathlib import PurePosixPath
from typing import Final

from ost_lightning.video.annotations.video_ids import video_id

_CLIPS: Final = (
    re.compile(r"(v_[A-Za-z]+_g\d\d)_c\d\d"),  # UCF101: group and clip
    re.compile(r"(.+)_[fhlu]_[cn]m_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+"),  # HMDB51
    re.compile(r"(.*?[^\W_].*?)[ _.-]*(?<![A-Za-z])(?i:part|pt|clip|chunk|cut|scene|segment|seg|shot)[ _.-]*\d+"),
    re.compile(r"(.*?[^\W_].*?)[ _.-]*@ *\d+(?:\.\d+)?s?-(?:\d+(?:\.\d+)?s?)?"),  # name@1.5-4
)
_TIMES: Final = re.compile(r"(.*?[^\W_].*?)[ _.-]+(\d+(?:\.\d+)?)(s?)[ _-](?:to[ _-])?(\d+(?:\.\d+)?)(s?)")


def source_in_name(path: str) -> str | None:
    """Returns the name of the recording that a clip was cut from; None if the clip's name says nothing about it.

    Known are the names of Kinetics, ActivityNet, UCF101 and HMDB51, numbered parts (`game_part2`, `game-clip03`), and
    first and last second (`game_000012_000022`, `game_12.5s-16s`).

    Args:
        path: Path of the clip, with `/`.
    """
    stem = PurePosixPath(path).stem
    id_ = video_id(path)
    if id_ not in (stem, str(PurePosixPath(path).with_suffix(""))):  # a publisher's name with the id in it
        return id_
    for pattern in _CLIPS:
        if match := pattern.fullmatch(stem):
            return match[1]
    return _before_times(stem)


def _before_times(stem: str) -> str | None:
    """Returns what stands before the first and last second in a name; other pairs of numbers may be a date."""
    match = _TIMES.fullmatch(stem)
    if match is None:
        return None
    name, start, unit, end, last_unit = match.groups()
    is_time = bool(unit or last_unit or "." in start or (len(start) == len(end) == 6))
    return name if is_time and float(start) < float(end) else None
