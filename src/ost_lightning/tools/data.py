"""`ost data ...`: looking after lists of videos and the files that they name."""

import csv
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from rich.console import Console
from rich.table import Table

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.tools.options import output_file, output_folder, processes
from ost_lightning.vocabulary import Part

if TYPE_CHECKING:
    from ost_lightning.datamodules import LabeledVideos, VideoDataModule
    from ost_lightning.video import VideoRecord
    from ost_lightning.video.annotations.any_list import ListedVideo
    from ost_lightning.video.maintenance.inspection import Inspection

PARTS: Final[tuple[Part, ...]] = ("train", "val", "test")
_RECORD: Final = "videos.csv"
_SHOWN: Final = 5


def check(
    list: Path | None = None,
    root: str | None = None,
    data: "VideoDataModule | None" = None,
    sets: Sequence[Part] = PARTS,  # read only
    output: Path = Path("runs/data"),
    frames: int = 8,
    every_frame: bool = False,
    workers: int | None = None,
) -> None:
    """Checks that every listed video is there and can be decoded, as a run finds it: also with another extension.

    Writes `videos.csv` (what was found) and `missing.csv` (id, path, what is wrong) into the output folder. Stopped or
    killed, it goes on where it was when it is started again. Its exit status is 1 if a video can't be used.

    Args:
        list: List of videos: `path label` lines, or a table (CSV, Parquet) with a column `path`; times, where it has
            them, count.
        root: What the list's paths are relative to: a folder of videos or tar shards, or a URL.
        data: Instead of a list: a data module with its settings (`--data.help CLASS` lists them).
        sets: Which of its sets: train, val, test; what its settings name no videos for is passed over.
        output: Folder for the two files.
        frames: How many frames of each are decoded, spread over the video.
        every_frame: Decode all of them.
        workers: Processes; as many as there are cores if not given.
    """
    from ost_lightning.video.maintenance.inspection import ALL_FRAMES
    from ost_lightning.video.maintenance.survey import survey

    if frames < 0:
        raise UserError(f"--frames is {frames}: give a number of frames from 0, or --every_frame for all.")
    decode, count = ALL_FRAMES if every_frame else frames, processes(workers)
    found = survey(_records(list, root, data, sets), output_folder(output) / _RECORD, decode=decode, workers=count)
    bad = [entry for entry in found if entry.state != "ok"]
    _write_missing(bad, output / "missing.csv")
    there = sum(entry.state != "missing" for entry in found)
    print(f"{len(found)} videos listed, {there} found, {len(found) - len(bad)} decodable")
    if bad:
        reasons = Counter(entry.reason for entry in bad).most_common(_SHOWN)
        raise UserError(
            f"{len(bad)} of {len(found)} videos can't be used; they are in {output / 'missing.csv'}. Most often: "
            + "; ".join(f"{reason} ({count})" for reason, count in reasons)
            + "."
        )


def stats(
    list: Path | None = None,
    root: str | None = None,
    data: "VideoDataModule | None" = None,
    sets: Sequence[Part] = PARTS,  # read only
    output: Path = Path("runs/data"),
    workers: int | None = None,
) -> None:
    """Tells how long and large the listed videos are, from headers and packets; nothing is decoded.

    Writes `videos.csv` into the output folder and prints the spread of frames, durations, rates and sizes. Started
    again, it looks at new and changed files only.

    Args:
        list: List of videos: `path label` lines, or a table (CSV, Parquet) with a column `path`; times, where it has
            them, count.
        root: What the list's paths are relative to: a folder of videos or tar shards, or a URL.
        data: Instead of a list: a data module with its settings (`--data.help CLASS` lists them).
        sets: Which of its sets: train, val, test; what its settings name no videos for is passed over.
        output: Folder for the file.
        workers: Processes; as many as there are cores if not given.
    """
    from ost_lightning.video.maintenance.survey import survey

    count = processes(workers)
    found = survey(_records(list, root, data, sets), output_folder(output) / _RECORD, decode=0, workers=count)
    usable = [entry for entry in found if entry.state == "ok"]
    if not usable:
        raise UserError(f"None of the {len(found)} listed videos can be opened; {output / _RECORD} says why.")
    Console().print(_spread(usable, len(found)))
    for what, values in (
        ("sizes", Counter(f"{entry.width}x{entry.height}" for entry in usable)),
        ("codecs", Counter(entry.codec for entry in usable)),
    ):
        print(f"{what}: " + ", ".join(f"{value} ({count})" for value, count in values.most_common(_SHOWN)))


def leak(first: Path, second: Path, by: Literal["video", "file"] = "video", output: Path | None = None) -> None:
    """Counts the videos that are on both of two lists, for example of training and test.

    Lists may be of any form: `path label` lines, tables, Kinetics' CSV, Something-Something's or ActivityNet's JSON.

    Args:
        first: One list.
        second: The other.
        by: What makes two entries the same: `video` is the YouTube id where a name has one (so that two clips of one
            video count), a name that a published data set gave, and elsewhere the path as listed, folders included;
            `file` is always the file's stem.
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
        write_text_atomically(output_file(output), "".join(f"{id_}\n" for id_ in ["id", *common]))


def fewshot(list: Path, output: Path, shots: int = 16, seed: int = 0) -> None:
    """Draws K videos of every class out of a training list, and writes them as a list.

    The same seed gives the same list, whatever the order of the lines; with one seed, a list of fewer shots is part of
    one of more.

    Args:
        list: Training list: `path label` lines, or a table (CSV, Parquet) with the columns `path` and `label`.
        output: File for the drawn list: a table with all that is known of the videos if it is called .csv, else
            `path label` lines, for which the labels have to be numbers.
        shots: K.
        seed: Of the draw.
    """
    from ost_lightning.video.annotations.any_list import read_files, write_list
    from ost_lightning.video.annotations.few_shot import draw_shots

    videos = read_files(list)
    if unlabeled := [video.path for video in videos if not video.label]:
        raise UserError(f"{list}: '{unlabeled[0]}' has no label. Expected lines `path label`.")
    drawn = draw_shots([_name(video) for video in videos], [video.label for video in videos], shots, seed)
    chosen = [videos[place] for place in drawn]
    write_list(chosen, output_file(output))
    print(f"{len(chosen)} videos of {len({video.label for video in chosen})} classes, {shots} each: {output}")


def _records(
    list_file: Path | None, root: str | None, data: "VideoDataModule | None", parts: Sequence[Part]
) -> "Sequence[VideoRecord]":
    """The videos of a list, or of sets of a data module."""
    from ost_lightning.datamodules.locate import Finder
    from ost_lightning.video import VideoRecord
    from ost_lightning.video.annotations.any_list import read_files

    if (list_file is None) == (data is None):
        raise UserError("Give either a list of videos (--list, with --root) or a data module (--data CLASS).")
    if list_file is not None:
        listed, finder = read_files(list_file), Finder(root or ".")
        return [
            VideoRecord(finder.address(video.path), 0, video.id or video.path, video.start, video.end)
            for video in listed
        ]
    if root is not None or data is None:
        raise UserError("--root belongs to --list; the folder of a data module is --data.root.")
    data.prepare_data()
    sets: list[LabeledVideos] = []
    for part in filter(data.has_part, parts):
        sets += [data.training_videos()] if part == "train" else data.evaluation_videos(part).values()
    if not sets:
        raise UserError(f"The data's settings name no videos for {', '.join(parts) or '(no set)'}.")
    return [record for videos in sets for record in videos.records]


def _name(video: "ListedVideo") -> str:
    """What tells it from the others of its list, parts of the same video among them."""
    times = "" if video.start is None and video.end is None else f" {video.start} {video.end}"
    return (video.id or video.path) + times


def _write_missing(bad: "Sequence[Inspection]", file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "path", "state", "reason"])
        rows.writerows((entry.id, entry.path, entry.state, entry.reason) for entry in bad)


def _spread(usable: "Sequence[Inspection]", listed: int) -> Table:
    table = Table(title=f"{len(usable):,} of {listed:,} listed videos")
    for column in ("", "least", "median", "mean", "most", "total"):
        table.add_column(column, justify="right" if column else "left")
    for name, values in (
        ("frames", [float(entry.frames) for entry in usable]),
        ("seconds", [entry.seconds for entry in usable]),
        ("frames a second", [entry.rate for entry in usable]),
        ("short side", [float(min(entry.width, entry.height)) for entry in usable]),
        ("megabytes", [entry.size / 1e6 for entry in usable]),
    ):
        summed = f"{sum(values):,.0f}" if name in ("frames", "seconds", "megabytes") else ""
        cells = (min(values), statistics.median(values), statistics.mean(values), max(values))
        table.add_row(name, *(f"{cell:,.1f}" for cell in cells), summed)
    return table
