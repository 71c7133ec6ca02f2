"""`ost data check` and `ost data stats`: inspection of the videos in a list."""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv
from ost_lightning.tools.options import output_folder, processes
from ost_lightning.vocabulary import Part, counted

if TYPE_CHECKING:
    from ost_lightning.datamodules import VideoDataModule
    from ost_lightning.video import VideoRecord
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
    """Checks that every listed video exists, under any extension as in a run, and can be decoded.

    Writes `videos.csv` (properties of the videos) and `missing.csv` (id, path, problem) into the output folder. After
    an interruption, the same command continues where it stopped. The exit status is 1 if a video can't be used.

    Args:
        list: List of videos: `path label` lines, or a table (CSV, Parquet) with a column `path`. Start and end times in
            a table are respected.
        root: Base of the list's paths: a folder of videos or tar shards, or a URL.
        data: Data module with its settings, instead of a list (`--data.help CLASS` shows its settings).
        sets: Sets of the data module to inspect: train, val, test. Sets without videos are skipped.
        output: Folder for the two files.
        frames: Number of frames to decode per video, spread over its duration.
        every_frame: Whether to decode all frames.
        workers: Number of processes; one per core if not given.
    """
    from ost_lightning.video.maintenance.inspection import ALL_FRAMES
    from ost_lightning.video.maintenance.survey import survey_videos

    if frames < 0:
        raise UserError(f"--frames is {frames}: give a number of frames, 0 or more, or --every_frame for all frames.")
    decode, count = ALL_FRAMES if every_frame else frames, processes(workers)
    found = survey_videos(
        _records(list, root, data, sets), output_folder(output) / _RECORD, decode=decode, workers=count
    )
    bad = [entry for entry in found if entry.state != "ok"]
    _write_missing(bad, output / "missing.csv")
    existing = sum(entry.state != "missing" for entry in found)
    print(f"{counted(len(found), 'video')} listed, {existing:,} found, {len(found) - len(bad):,} decodable")
    if bad:
        reasons = Counter(entry.reason for entry in bad).most_common(_SHOWN)
        raise UserError(
            f"{len(bad):,} of {counted(len(found), 'video')} can't be used; see {output / 'missing.csv'}. Most common "
            + "reasons: "
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
    """Prints durations, frame rates and sizes of the listed videos, from headers and packets, without decoding.

    Also writes `videos.csv` into the output folder. A second run reads only new and changed files.

    Args:
        list: List of videos: `path label` lines, or a table (CSV, Parquet) with a column `path`. Start and end times in
            a table are respected.
        root: Base of the list's paths: a folder of videos or tar shards, or a URL.
        data: Data module with its settings, instead of a list (`--data.help CLASS` shows its settings).
        sets: Sets of the data module to inspect: train, val, test. Sets without videos are skipped.
        output: Folder for the file.
        workers: Number of processes; one per core if not given.
    """
    from ost_lightning.video.maintenance.survey import survey_videos

    count = processes(workers)
    found = survey_videos(_records(list, root, data, sets), output_folder(output) / _RECORD, decode=0, workers=count)
    usable = [entry for entry in found if entry.state == "ok"]
    if not usable:
        raise UserError(f"None of the {len(found)} listed videos can be opened; {output / _RECORD} gives the reasons.")
    Console().print(_statistics(usable, len(found)))
    for what, values in (
        ("sizes", Counter(f"{entry.width}x{entry.height}" for entry in usable)),
        ("codecs", Counter(entry.codec for entry in usable)),
    ):
        print(f"{what}: " + ", ".join(f"{value} ({count})" for value, count in values.most_common(_SHOWN)))


def _records(
    list_file: Path | None, root: str | None, data: "VideoDataModule | None", parts: Sequence[Part]
) -> "Sequence[VideoRecord]":
    """Returns the videos of a list, or of sets of a data module."""
    from ost_lightning.datamodules.locate import Finder
    from ost_lightning.video import VideoRecord
    from ost_lightning.video.annotations.any_list import read_files

    if (list_file is None) == (data is None):
        raise UserError("Give either a list of videos (--list, with --root) or a data module (--data CLASS).")
    if list_file is not None:
        listed, finder = read_files(list_file), Finder(root or ".")
        return [
            VideoRecord(finder.address(video.path), 0, video.id or video.path, video.start, video.end, video.frames)
            for video in listed
        ]
    if root is not None or data is None:
        raise UserError("--root belongs to --list. Set the folder of a data module with --data.root.")
    return [record for videos in data.videos_of(parts) for record in videos.records]


def _write_missing(bad: "Sequence[Inspection]", file: Path) -> None:
    with atomic_write(file) as temporary, open_csv(temporary) as handle:
        rows = CsvWriter(handle)
        rows.writerow(["id", "path", "state", "reason"])
        rows.writerows((entry.id, entry.path, entry.state, entry.reason) for entry in bad)


def _statistics(usable: "Sequence[Inspection]", listed: int) -> Table:
    table = Table(title=f"{len(usable):,} of {listed:,} listed videos")
    for column in ("", "min", "median", "mean", "max", "total"):
        table.add_column(column, justify="right" if column else "left")
    for name, values in (
        ("frames", [float(entry.frames) for entry in usable]),
        ("seconds", [entry.seconds for entry in usable]),
        ("frames per second", [entry.rate for entry in usable]),
        ("short side", [float(min(entry.width, entry.height)) for entry in usable]),
        ("megabytes", [entry.size / 1e6 for entry in usable]),
    ):
        total = f"{sum(values):,.0f}" if name in ("frames", "seconds", "megabytes") else ""
        cells = (min(values), statistics.median(values), statistics.mean(values), max(values))
        table.add_row(name, *(f"{cell:,.1f}" for cell in cells), total)
    return table
