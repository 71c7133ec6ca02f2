"""`ost data transcode` and `ost data shard`: re-encoding and packing of listed videos."""

from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path, PurePosixPath
from statistics import median
from typing import TYPE_CHECKING

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv
from ost_lightning.tools.options import output_folder, processes
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.video.maintenance.transcoding import Transcoded, TranscodingJob


def transcode(
    list: Path,
    root: str,
    output: Path,
    short_side: int = 256,
    gop: int = 12,
    crf: int = 23,
    preset: str = "medium",
    fast_decode: bool = True,
    workers: int | None = None,
) -> None:
    """Re-encodes the listed videos for fast sparse reading: short side 256, a keyframe every 12 frames, no sound.

    Frames keep their times and their number, which is verified. Rotated videos become upright, and pixels square.
    Writes the videos as .mp4 under their relative paths, the list with these paths (a table as CSV), and
    `transcoded.csv` with sizes and reading times before and after.

    After an interruption, the same command continues where it stopped. Files that were encoded with other settings are
    encoded again. The exit status is 1 if a video could not be re-encoded.

    Args:
        list: List of videos: `path label` lines, or a table (CSV, Parquet) with a column `path`.
        root: Base of the list's paths: a folder of videos or tar shards, or a URL.
        output: Folder for the new files.
        short_side: Length of the shorter side in pixels; smaller videos keep their size.
        gop: Number of frames per keyframe.
        crf: Constant rate factor of x264; lower values give better quality and larger files.
        preset: Preset of x264.
        fast_decode: Whether to use x264's tuning `fastdecode` (CAVLC, no loop filter, no weighted prediction), which
            gives larger files that decode in half the time.
        workers: Number of processes; one per core if not given.
    """
    from ost_lightning.datamodules.locate import Finder
    from ost_lightning.video.annotations import TABLE_SUFFIXES, read_files, write_list
    from ost_lightning.video.maintenance.parallel import map_in_processes
    from ost_lightning.video.maintenance.transcoding import TranscodeSettings, TranscodingJob
    from ost_lightning.video.maintenance.transcoding import transcode as transcode_one

    settings = TranscodeSettings(short_side, gop, crf, preset, fast_decode)
    videos, old, count = read_files(list), Finder(root), processes(workers)
    new = {video.path: str(PurePosixPath(video.path).with_suffix(".mp4")) for video in videos}
    if len(set(new.values())) < len(new):
        raise UserError(
            f"{list} contains videos whose paths differ only in their suffix, so their .mp4 copies would collide. "
            "Rename the videos."
        )
    if Path(root).resolve() == output.resolve():
        raise UserError(f"The new files would replace the originals. Choose another output folder than {root}.")
    output_folder(output)
    jobs = [TranscodingJob(path, old.address(path), output / target, settings) for path, target in new.items()]
    found = map_in_processes(transcode_one, jobs, count, _killed_result)
    done = {entry.name: entry for entry in tqdm(found, total=len(jobs), unit="video")}
    rows = [done[job.name] for job in jobs]
    _write_report(rows, output / "transcoded.csv")
    moved = [replace(video, path=new[video.path]) for video in videos]
    write_list(moved, output / f"{list.stem}{'.csv' if list.suffix.lower() in TABLE_SUFFIXES else '.txt'}")
    _report_summary(rows)
    if failed := [entry for entry in rows if entry.error]:
        raise UserError(
            f"{len(failed)} of {len(rows)} videos could not be re-encoded; {output / 'transcoded.csv'} gives the "
            f"reasons. The first: {failed[0].error}."
        )


def shard(list: Path, root: Path, output: Path, megabytes: int = 1024, workers: int | None = None) -> None:
    """Packs the listed videos into uncompressed tar shards, which are read in place: set `root` to their folder.

    The names of the members are the list's paths, so the list doesn't change. After an interruption, the same command
    continues where it stopped.

    Args:
        list: List of videos: `path label` lines, or a table (CSV, Parquet) with a column `path`.
        root: Folder to which the list's paths are relative.
        output: Folder for the shards.
        megabytes: Size of a shard in megabytes, which its last video may exceed.
        workers: Number of processes; one per core if not given.
    """
    from ost_lightning.video.annotations import read_files
    from ost_lightning.video.maintenance.shard_writer import plan_shards, write_shards

    if megabytes < 1:
        raise UserError(f"--megabytes is {megabytes}: it must be at least 1.")
    count = processes(workers)
    files = {video.path: root / video.path for video in read_files(list)}
    shards = plan_shards(files, output_folder(output), megabytes * 10**6)
    written = write_shards(shards, count)
    print(f"{counted(len(files), 'video')} in {counted(len(shards), 'shard')}, {written:,} newly written: {output}")


def _killed_result(job: "TranscodingJob") -> "Transcoded":
    from ost_lightning.video.maintenance.transcoding import Transcoded

    return Transcoded(job.name, str(job.target), f"{job.source}: re-encoding it killed the process")


def _write_report(rows: "Sequence[Transcoded]", file: Path) -> None:
    from ost_lightning.video.maintenance.transcoding import Transcoded

    with atomic_write(file) as partial, open_csv(partial) as handle:
        table = CsvWriter(handle)
        table.writerow(field.name for field in fields(Transcoded))
        table.writerows(astuple(row) for row in rows)


def _report_summary(rows: "Sequence[Transcoded]") -> None:
    good = [row for row in rows if not row.error]
    if good:
        before, after = (
            sum(sizes) / 1e6 for sizes in zip(*((r.bytes_before, r.bytes_after) for r in good), strict=True)
        )
        speed = median(row.ms_before / row.ms_after for row in good)
        print(
            f"{len(good):,} of {counted(len(rows), 'video')} re-encoded, with the same number of frames. Size: "
            f"{before:,.1f} MB before, {after:,.1f} MB after. Reading 8 frames (median): "
            f"{median(row.ms_before for row in good):.1f} ms before, {median(row.ms_after for row in good):.1f} ms "
            f"after, {speed:.1f} times as fast."
        )
