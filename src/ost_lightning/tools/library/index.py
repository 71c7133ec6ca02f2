"""`ost index`: embeddings of many videos in a library, from the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.machine import usable_cores
from ost_lightning.resources import TINY_MODELS
from ost_lightning.tools.library.indexed_sources import PARTS, STANDARD_INPUT, sources_of
from ost_lightning.tools.library.maintenance import maintain
from ost_lightning.tools.options import processes
from ost_lightning.vocabulary import Part, counted

if TYPE_CHECKING:
    from ost_lightning.datamodules import VideoDataModule
    from ost_lightning.library import IndexProgress, Library, SegmentSettings
    from ost_lightning.models import CPUPrecision
    from ost_lightning.recognition import TrainedModel
    from ost_lightning.tools.library.processes import Process

_WEIGHTS: Final = "openai/clip-vit-base-patch16"


def index(
    sources: Sequence[str] = (),
    *,
    library: Path,
    weights: str | None = None,
    list: Path | None = None,
    root: str | None = None,
    data: "VideoDataModule | None" = None,
    sets: Sequence[Part] = PARTS,
    lengths: str | None = None,
    stride: float | None = None,
    rate: float | None = None,
    longest_clip: float | None = None,
    precision: Literal["float16", "float32"] | None = None,
    device: str | None = None,
    cpu_precision: Literal["fp32", "bf16", "auto"] | None = None,
    devices: int | None = None,
    num_nodes: int | None = None,
    workers: int | None = None,
    batch_size: int = 8,
    commit_seconds: float = 10.0,
    retry: bool = False,
    check: bool = False,
    compact: bool = False,
    remove: Sequence[str] = (),
    output: Path | None = None,
) -> None:
    """Embeds the frames of videos and stores them in a library, which any label space can be compared with later.

    Only new and changed videos are read. The command may be interrupted, repeated, and run by several processes and
    machines at once, which share out the videos. Unreadable videos are named and listed in the library, the others are
    stored, and the exit status is 1.

    Args:
        sources: Files, folders (with subfolders), patterns (`clips/*.mp4`), URLs, or `-` for a list on standard input.
        library: Folder of the library, created if it doesn't exist.
        weights: Hub id, `tiny`, folder in HF format, checkpoint (.ckpt), or folder of a run or experiment; those of the
            library's table, or CLIP ViT-B/16 in a new library, if not given.
        list: List of videos instead of sources: `path label` lines, or a table (CSV, Parquet) with a column `path` and
            optionally start and end times. Entries with labels or times are one segment each.
        root: Base of the list's paths: a folder of videos or tar shards, or a URL.
        data: Data module with its settings instead of sources (`--data.help CLASS` shows its settings). Each record is
            one segment with its label.
        sets: Sets of the data module: train, val, test. Sets without videos are skipped.
        lengths: Lengths of the segments of long videos in seconds, separated by commas; 4 s if not given.
        stride: Distance between the starts of segments of long videos in seconds; 2 s if not given.
        rate: Number of frames per second of long videos that are embedded; 4 if not given.
        longest_clip: Length in seconds up to which a video is one segment; 15 s if not given.
        precision: Type of the stored embeddings: `float16` takes half the space of `float32`; float16 if not given.
        device: Device for computation, such as cuda or cpu; a GPU if available and otherwise the CPU, if not given.
        cpu_precision: Precision in which a CPU embeds frames: fp32, bf16, or auto for bf16 where a measurement of half
            a second finds it faster; that of the library's table, or fp32 in a new library, if not given.
        devices: Number of processes on this machine, one per device; that of torchrun or SLURM, or 1, if not given.
        num_nodes: Number of machines; that of torchrun or SLURM, or 1, if not given.
        workers: Threads per process that read videos; the number of usable cores per process if not given.
        batch_size: Largest number of clips that are encoded together.
        commit_seconds: Seconds after which what was embedded is stored, about as much as a killed process loses.
        retry: Whether to try again unreadable videos that have not changed.
        check: Whether to mark missing, changed and unreadable videos instead of indexing.
        compact: Whether to merge small files and free space instead of indexing.
        remove: Videos to remove instead of indexing: paths, folders, patterns or names in lists.
        output: File for the marks of `check` (.csv); they are only printed if not given.
    """
    if check or compact or remove:
        maintain(library, check=check, compact=compact, remove=remove, output=output, sources=sources)
        return
    for name, value in (("batch_size", batch_size), ("devices", devices), ("num_nodes", num_nodes)):
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}: expected at least 1.")
    if output is not None:
        raise UserError("--output is for --check.")
    options = {"stride": stride, "rate": rate, "longest_clip": longest_clip, "precision": precision}
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if lengths is not None:
        chosen["lengths"] = _lengths(lengths)
    threads = max(1, usable_cores() // (devices or 1)) if workers is None else processes(workers)
    from ost_lightning.library import IndexSettings, Library, SegmentSettings
    from ost_lightning.recognition import load_trained_model
    from ost_lightning.recognition.replicas import devices as devices_of
    from ost_lightning.tools.library.processes import processes_of
    from ost_lightning.tools.library.progress import ShownProgress

    SegmentSettings(**chosen)
    if STANDARD_INPUT in sources and ((devices or 1) > 1 or (num_nodes or 1) > 1):
        raise UserError(
            "Several processes can't share standard input: write its lines into a file, and give it as --list."
        )
    videos = sources_of(sources, list, root, data, sets)
    opened = Library.open(library, create=True)
    name = weights or _weights(opened)
    (first, *_) = devices_of(device)
    with processes_of(devices, num_nodes, first) as process:
        model = load_trained_model(name)
        model.video_clip.to(process.device).eval()
        segments = _segments(opened, model, chosen, name if weights is None else None)
        remark = _use_precision(opened, model, cpu_precision, process)
        if process.rank == 0:
            print(f"Indexing {counted(len(videos), 'video')} with {escaped(name)} into {escaped(str(opened.folder))}")
            if name in TINY_MODELS:
                print("This model knows only the rendered world: what it sees in other videos means nothing.")
            _tell_about_views(model)
            if remark:
                print(remark)
        settings = IndexSettings(threads, batch_size, commit_seconds, retry, process.rank, process.world_size)
        with ShownProgress(process.rank, process.wait) as shown:
            progress = opened.index(videos, model, segments, settings, shown, name)
    if process.rank == 0:
        _summarize(progress)


def _lengths(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--lengths is '{text}': expected seconds separated by commas, such as 2, 4, 8.") from error


def _weights(library: "Library") -> str:
    """Name of the weights to use if none was given."""
    tables = library.tables
    if len({table.weights for table in tables}) > 1:
        listed = ", ".join(dict.fromkeys(table.weights for table in tables))
        raise UserError(f"The library {library.folder} has tables of several weights: give --weights, one of {listed}.")
    return tables[0].weights if tables else _WEIGHTS


def _segments(
    library: "Library", model: "TrainedModel", chosen: Mapping[str, Any], assumed: str | None
) -> "SegmentSettings":
    """Settings of the table of a model: those that were given, and otherwise the table's own or the defaults.

    Args:
        library: Library.
        model: Model.
        chosen: Settings that were given.
        assumed: Name of the weights, if it was taken from the library; None if it was given.
    """
    from ost_lightning.library import SegmentSettings, table_digest

    tables = {table.digest: table for table in library.tables}
    digest = table_digest(model.video_clip, model.clips.resolved())
    if digest in tables:
        return replace(tables[digest].segments, **chosen)
    if tables and assumed is not None:
        raise UserError(
            f"The weights {assumed} or their clip settings have changed since the library {library.folder} was made: "
            "give --weights, those of its table to add to it, or these to begin another table."
        )
    return SegmentSettings(**chosen)


def _use_precision(library: "Library", model: "TrainedModel", wanted: "CPUPrecision | None", process: "Process") -> str:
    """Sets the precision of a table's embeddings on a CPU, and returns what was chosen and why, if there was a choice.

    Args:
        library: Library.
        model: Model.
        wanted: Precision that was asked for; None for that of the table.
        process: This process.
    """
    from ost_lightning.library import table_digest
    from ost_lightning.models import use_cpu_precision

    digest = table_digest(model.video_clip, model.clips.resolved())
    known = next((table.cpu_precision for table in library.tables if table.digest == digest), None)
    if known is not None and wanted in (None, "auto"):
        # embeddings of another device may not be added to those of a CPU in bf16, which the table says
        wanted = known if process.device.type == "cpu" else "fp32"
    if wanted == "auto" and process.world_size > 1:
        raise UserError("--cpu_precision auto is for one process, because several may choose differently: set it.")
    return use_cpu_precision(model.video_clip.encoder, wanted or "fp32", process.device)


def _tell_about_views(model: "TrainedModel") -> None:
    if (views := model.clips.views * model.clips.crops) > 1:
        print(f"The library keeps one view of each segment, although the weights' settings have {views} per video.")


def _summarize(progress: "IndexProgress") -> None:
    done = progress.todo - progress.remaining - progress.unreadable
    print(
        f"{counted(done, 'video')} stored in {progress.seconds:.1f} s ({progress.videos_per_second:.1f} videos/s), "
        f"{progress.stored:,} were there already"
    )
    if progress.failed:
        print(
            f"Videos that could not be read before and have not changed: {progress.failed:,} (--retry tries them again)"
        )
    if progress.unreadable:
        raise UserError(
            f"Videos that could not be read: {progress.unreadable:,}. They are named above, and by `ost index --check`."
        )
