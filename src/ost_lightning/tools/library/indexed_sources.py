"""What `ost index` is asked to index: sources, a list, or a data module."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ost_lightning.errors import UserError
from ost_lightning.vocabulary import Part

if TYPE_CHECKING:
    from ost_lightning.datamodules import VideoDataModule
    from ost_lightning.library import VideoSource

PARTS: Final[tuple[Part, ...]] = ("train", "val", "test")
STANDARD_INPUT: Final = "-"


def sources_of(
    sources: Sequence[str],
    list_file: Path | None,
    root: str | None,
    data: "VideoDataModule | None",
    parts: Sequence[Part],
) -> "list[VideoSource]":
    """Returns the videos to index.

    Args:
        sources: Files, folders, patterns, URLs, or `-`.
        list_file: List of videos.
        root: Base of the list's paths.
        data: Data module.
        parts: Sets of the data module.

    Raises:
        UserError: If none or several of them are given, or there are no videos.
    """
    from ost_lightning.library import video_sources
    from ost_lightning.recognition import find_videos

    if sum(map(bool, (sources, list_file, data))) != 1:
        raise UserError("Give one of sources (files, folders, patterns, URLs), --list, and --data CLASS.")
    if root is not None and list_file is None:
        raise UserError("--root belongs to --list. Set the folder of a data module with --data.root.")
    if data is not None:
        found = _of_data(data, parts)
    elif list_file is not None:
        found = _of_list(list_file, root or ".")
    else:
        found = video_sources(find_videos(sources))
    if not found:
        raise UserError("There are no videos: the list on standard input is empty.")
    return found


def _of_list(list_file: Path, root: str) -> "list[VideoSource]":
    from ost_lightning.datamodules.locate import Finder
    from ost_lightning.library import VideoSource
    from ost_lightning.video import UNLABELED, VideoRecord
    from ost_lightning.video.annotations.any_list import read_files

    finder, found = Finder(root), []
    for video in read_files(list_file):
        name = video.id or video.path
        record = VideoRecord(finder.address(video.path), UNLABELED, name, video.start, video.end, video.frames)
        # the number of a class says nothing without its list of classes
        label = None if not video.label or video.label.isdecimal() else video.label
        found.append(VideoSource(record, label, as_clip=bool(video.label)))
    return found


def _of_data(data: "VideoDataModule", parts: Sequence[Part]) -> "list[VideoSource]":
    from ost_lightning.library import record_sources

    return [
        source for videos in data.videos_of(parts) for source in record_sources(videos.records, videos.labels.names)
    ]
