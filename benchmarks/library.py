"""Libraries of videos, as ratios within one run.

* `--part index`: the bare reader and encoder, against indexing of the same frames with the same threads and batches.
* `--part processes`: two processes against one, each with one thread for computation.
* `--part scan`: exact transport against a plain cosine scan of the same synthetic table.
* `--part memory`: largest memory of `ost find` with that table.
* `--part coarse`: coarse stage against the exact scan, and recall of the exact top 100.
* `--part classify`: 400 classes of a stored segment against reading and encoding a video again.
* `--part open`: time to open the synthetic library.

Rounds are interleaved; medians are printed with least and most. The weights are random, and take the time of trained
ones; `--weights tiny` is the worst case, in which encoding costs nothing.

On a CPU: library.py --part index --clips 24
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from film_clips import Film, make
from large_library import measure
from random_clip import save_random_clip

from ost_lightning.evaluation import ClipSettings, embed, evaluation_clips
from ost_lightning.library import IndexSettings, Library, SegmentSettings
from ost_lightning.recognition import TrainedModel, load_trained_model
from ost_lightning.recognition.read_ahead import read_ahead
from ost_lightning.recognition.timelines import embed_video
from ost_lightning.resources import cache_folder
from ost_lightning.video import UNLABELED, Clip, SampleKey, VideoRecord

SETTINGS = IndexSettings(threads=1, batch_size=8)
AS_LONG = SegmentSettings(longest_clip=0)
LONG = 1
"""Videos of 10 s that are also indexed as long ones, with 40 frames each."""
_STORED = re.compile(r"stored in ([\d.]+) s")


def seconds(work: Callable[[], object]) -> float:
    """Time that a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(name: str, times: list[float], other: list[float]) -> str:
    """Row of the table: ratio with least and most, and the medians of both times."""
    ratios = [a / b for a, b in zip(times, other, strict=True)]
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    first, second = statistics.median(times), statistics.median(other)
    return f"| {name} | {statistics.median(ratios):.3g} | {spread} | {first:.3g} s | {second:.3g} s |"


@torch.inference_mode()
def read_and_encode(videos: Iterable[Path], model: TrainedModel, clips: ClipSettings) -> None:
    """Reads and encodes clips as indexing does, and keeps nothing."""

    def read(video: Path) -> Clip:
        clip = evaluation_clips([VideoRecord(video, UNLABELED, "")], clips, with_times=True)[SampleKey(0, 0)]
        assert isinstance(clip, Clip)
        return clip

    for batch in read_ahead(videos, read, SETTINGS.threads, SETTINGS.batch_size):
        frames = torch.stack([clip.frames for clip in batch if clip.frames is not None])
        embed(model.video_clip, frames.to(model.video_clip.encoder.device)).cpu()


def index(videos: list[Path], model: TrainedModel, folder: Path, segments: SegmentSettings) -> None:
    """Indexes videos into a new library."""
    shutil.rmtree(folder, ignore_errors=True)
    Library.open(folder, create=True).index(videos, model, segments, SETTINGS)


def compare_with_bare(videos: list[Path], model: TrainedModel, folder: Path, rounds: int) -> list[str]:
    """Indexing of short videos and of long ones, against the reader and the encoder alone."""
    clips = model.clips.resolved()
    short, plain, long, embedded = [], [], [], []
    for number in range(rounds + 1):
        turns: list[tuple[list[float], Callable[[], object]]] = [
            (plain, lambda: read_and_encode(videos, model, clips)),
            (short, lambda: index(videos, model, folder, SegmentSettings())),
            (embedded, lambda: [embed_video(video, model.video_clip, clips, "") for video in videos[:LONG]]),
            (long, lambda: index(videos[:LONG], model, folder, AS_LONG)),
        ]
        for times, work in turns if number % 2 else reversed(turns):
            times.append(seconds(work))
    # the first round warms up
    return [
        row("reader and encoder, to indexing of short videos", plain[1:], short[1:]),
        row("reader and encoder, to indexing of long videos", embedded[1:], long[1:]),
    ]


def compare_processes(videos: Path, weights: str, folder: Path, device: str, rounds: int) -> str:
    """Two processes against one, as the command reports them."""
    two, one = [], []
    for number in range(rounds):
        turns = [(two, 2), (one, 1)]
        for times, devices in turns if number % 2 else reversed(turns):
            shutil.rmtree(folder, ignore_errors=True)
            command = [sys.executable, "-m", "ost_lightning", "index", str(videos), "--library", str(folder)]
            options = ["--weights", weights, "--device", device, "--devices", str(devices), "--workers", "1"]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
            found = _STORED.search(done.stdout)
            assert found is not None, done.stdout
            times.append(float(found[1]))
    return row("two processes, to one", two, one)


def prepared(options: argparse.Namespace, folder: Path) -> tuple[list[Path], str]:
    """Copies of a video, and the weights."""
    weights = "tiny"
    if options.weights != "tiny":
        weights = str(save_random_clip(int(options.weights.removeprefix("b")), folder / "weights"))
    film = make(Film(480, 360, 250, 0), cache_folder() / "benchmarks")
    (folder / "videos").mkdir()
    videos = [folder / "videos" / f"{number}.mp4" for number in range(options.clips)]
    for video in videos:
        shutil.copy(film, video)
    return videos, weights


def index_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Rows about indexing in one process."""
    videos, weights = prepared(options, folder)
    model = load_trained_model(weights)
    model.video_clip.to(options.device).eval()
    return compare_with_bare(videos, model, folder / "library", options.rounds)


def processes_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Row about indexing in two processes."""
    videos, weights = prepared(options, folder)
    return [compare_processes(videos[0].parent, weights, folder / "library", options.device, options.rounds)]


def question_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Rows about questions to a large synthetic library."""
    return measure(options.part, options.folder or folder, options.segments, options.uniform, options.rounds)


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[str]]] = {
    "index": index_part,
    "processes": processes_part,
    "scan": question_part,
    "memory": question_part,
    "coarse": question_part,
    "open": question_part,
    "classify": question_part,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, default="index")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument(
        "--weights", choices=["b16", "b32", "tiny"], default="b32", help="random ViT-B, or the tiny CLIP"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--segments", type=int, default=1_000_000, help="synthetic segments; a million take 10 GB")
    parser.add_argument("--uniform", action="store_true", help="independent embeddings instead of clusters")
    parser.add_argument("--folder", type=Path, help="folder that keeps the synthetic library for other parts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = PARTS[options.part](options, Path(folder))
    print("| what | ratio | least to most | time | of |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
