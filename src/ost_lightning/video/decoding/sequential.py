"""Reading of many frames of a long video in one pass, around parts that can't be decoded."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from ost_lightning.video.decoding.frame_folder import FrameFolder
from ost_lightning.video.decoding.frame_source import CropChooser, FrameSource, VideoReadError, error_text

_SECTION: Final = 256
"""Number of frames that are requested together, so that damage does not reach further back."""


@dataclass(frozen=True, slots=True)
class DamagedPart:
    """Requested frames that could not be decoded.

    Attributes:
        indices: Indices of the frames, ascending.
        reason: Reason, without the path.
    """

    indices: tuple[int, ...]
    reason: str


def stream_readable(
    video: FrameSource, indices: Iterable[int], short_side: int, choose: CropChooser
) -> Iterator[tuple[int, Tensor] | DamagedPart]:
    """Decodes frames in one pass; where one can't be decoded, goes on at the next keyframe.

    Args:
        video: Open video.
        indices: Frames in presentation order; each is decoded once.
        short_side: Length in pixels of the shorter side that the boxes refer to.
        choose: Chooses C crops, without flip, from height and width of the resized frames.

    Yields:
        Index of a frame and its crops, uint8 (C, 3, S, S), almost in order; or a part that can't be decoded.
    """
    left = sorted(set(indices))
    while left:
        starts = video.starts()
        end = _end_of_group(starts, left[min(_SECTION, len(left)) - 1], left)
        section, left = dict.fromkeys(left[:end]), left[end:]
        try:
            yield from _streamed(video, section, short_side, choose)
        except VideoReadError:
            yield from _by_groups(video, section, short_side, choose)


def _by_groups(
    video: FrameSource, wanted: dict[int, None], short_side: int, choose: CropChooser
) -> Iterator[tuple[int, Tensor] | DamagedPart]:
    """Decodes one group of pictures after the other."""
    left, starts = list(wanted), video.starts()
    while left:
        end = _end_of_group(starts, left[0], left)
        group, left = dict.fromkeys(left[:end]), left[end:]
        try:
            yield from _streamed(video, group, short_side, choose)
        except VideoReadError as error:
            # what a file's reader adds is about reading from the beginning
            cause = None if isinstance(video, FrameFolder) else error.__cause__
            yield DamagedPart(tuple(group), error_text(cause) if isinstance(cause, Exception) else error.reason)


def _streamed(
    video: FrameSource, wanted: dict[int, None], short_side: int, choose: CropChooser
) -> Iterator[tuple[int, Tensor]]:
    """Decodes frames and removes each from the wanted ones."""
    for index, crops in video.stream_crops(list(wanted), short_side, choose):
        del wanted[index]
        yield index, crops


def _end_of_group(starts: Sequence[int], index: int, frames: Sequence[int]) -> int:
    """Number of frames, ascending, before the group of pictures that follows the one of a frame."""
    following = bisect_right(starts, index)
    return bisect_left(frames, starts[following]) if following < len(starts) else len(frames)
