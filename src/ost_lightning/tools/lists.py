"""`ost data leak` and `ost data fewshot`: tools for lists of videos that don't open the videos."""

from collections.abc import Sequence
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Final, Literal

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write
from ost_lightning.tools.options import output_file
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.video.annotations.any_list import ListedVideo

_SHOWN: Final = 5


def leak(first: Path, second: Path, by: Literal["video", "file"] = "video", output: Path | None = None) -> None:
    """Counts the videos that two lists have in common, for example training and test lists.

    Lists may have any format: `path label` lines, tables, Kinetics' CSV, Something-Something's or ActivityNet's JSON.

    Args:
        first: First list.
        second: Second list.
        by: Identifier of a video. `video` is the YouTube id if the name contains one, so that two clips of one video
            are the same. Otherwise it is the original name for published data sets, or the listed path with its
            folders. `file` is always the file name without its suffix.
        output: CSV file for the common ids.
    """
    from ost_lightning.video.annotations.any_list import read_list
    from ost_lightning.video.annotations.video_ids import video_id

    ids, others = ([video_id(video.path, by) for video in read_list(file)] for file in (first, second))
    other = set(others)
    common = sorted({id_ for id_ in ids if id_ in other})
    shared = sum(id_ in other for id_ in ids)
    print(f"{shared:,} of {len(ids):,} entries of {first} are also in {second} ({len(others):,} entries)")
    if common:
        print("for example: " + ", ".join(common[:_SHOWN]))
    if output is not None:
        with atomic_write(output_file(output)) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
            CsvWriter(handle, lineterminator="\n").writerows([id_] for id_ in ["id", *common])


def fewshot(list: Path, output: Path, shots: int = 16, seed: int = 0, root: str | None = None) -> None:
    """Draws K videos per class from a training list, and writes them as a list.

    The same seed gives the same list, regardless of the order of the lines. With the same seed, a list with fewer shots
    is a subset of a list with more. A video that is listed twice is drawn once at most; with two labels it is an error.

    Args:
        list: Training list: `path label` lines, or a table (CSV, Parquet) with the columns `path` and `label`.
        output: File for the drawn list: a table with all known columns if the suffix is .csv, otherwise `path label`
            lines, which require numeric labels.
        shots: Number of videos per class (K).
        seed: Seed for drawing the videos.
        root: Base of the list's paths. If given, absolute paths and symbolic links to the same video are recognized.
    """
    from ost_lightning.video.annotations.any_list import read_files, write_list
    from ost_lightning.video.annotations.few_shot import draw_shots

    videos = read_files(list)
    if unlabeled := [video.path for video in videos if not video.label]:
        raise UserError(f"{list}: '{unlabeled[0]}' has no label. Expected `path label` lines, or a column `label`.")
    different = _different(videos, list, root)
    drawn = draw_shots([_name(video) for video in different], [video.label for video in different], shots, seed)
    chosen = [different[index] for index in drawn]
    write_list(chosen, output_file(output))
    classes = counted(len({video.label for video in chosen}), "class", "classes")
    print(f"{counted(len(chosen), 'video')} of {classes}, {shots} per class: {output}")


def _name(video: "ListedVideo") -> str:
    """Returns a name that is unique within its list, even among parts of the same video."""
    times = "" if video.start is None and video.end is None else f" {video.start} {video.end}"
    return (video.id or video.path) + times


def _different(videos: "Sequence[ListedVideo]", file: Path, root: str | None) -> "list[ListedVideo]":
    """Returns the videos without repetitions.

    Raises:
        UserError: If a video has two labels.
    """
    from ost_lightning.video.storage import VideoRoot

    found: dict[tuple[str, float, float | None], ListedVideo] = {}
    base = VideoRoot(root) if root is not None else None
    if base is not None:
        for folder in {video.path.rpartition("/")[0] for video in videos if "://" not in video.path}:
            base.names_in(folder)  # which finds symbolic links
    for video in videos:
        same = base.identity(base.locate(video.path)) if base is not None else normpath(video.path)
        first = found.setdefault((same, video.start or 0.0, video.end), video)
        if first.label != video.label:
            raise UserError(
                f"{file}:{first.line} ({first.path}) and {file}:{video.line} ({video.path}) are the same video with "
                f"two labels, {first.label} and {video.label}. Remove the wrong one."
            )
    return [*found.values()]
