"""Libraries of videos, as ratios within one run.

* `--part index`: the bare reader and encoder, against indexing of the same frames with the same threads and batches.
* `--part long`: the same with one long video, `--minutes` 10 if not given.
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

import av
import torch
from film_clips import Film, make
from large_library import measure
from random_clip import save_random_clip

from ost_lightning.evaluation import ClipSettings, embed, evaluation_clips
from ost_lightning.library import IndexSettings, Library
from ost_lightning.recognition import TrainedModel, load_trained_model
from ost_lightning.recognition.read_ahead import read_ahead
from ost_lightning.recognition.timelines import embed_video
from ost_lightning.resources import cache_folder
from ost_lightning.video import UNLABELED, Clip, SampleKey, VideoRecord

SETTINGS = IndexSettings(threads=1, batch_size=8)
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


def index(videos: list[Path], model: TrainedModel, folder: Path) -> None:
    """Indexes videos into a new library."""
    shutil.rmtree(folder, ignore_errors=True)
    Library.open(folder, create=True).index(videos, model, settings=SETTINGS)


def repeat(film: Path, target: Path, times: int) -> None:
    """Writes a video several times in a row, without encoding it again."""
    with av.open(str(film)) as source, av.open(str(target), "w") as result:
        video = source.streams.video[0]
        stream = result.add_stream_from_template(video)
        for number in range(times):
            source.seek(0)
            for packet in source.demux(video):
                if packet.pts is None or packet.dts is None or video.duration is None:
                    continue  # the empty one at the end
                packet.pts += number * video.duration
                packet.dts += number * video.duration
                packet.stream = stream
                result.mux(packet)


def compare(bare: Callable[[], object], indexing: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Times of the reader and the encoder alone, and of indexing, in turn."""
    first: list[float] = []
    second: list[float] = []
    for number in range(rounds):
        turns = [(first, bare), (second, indexing)]
        for times, work in turns if number % 2 else reversed(turns):
            times.append(seconds(work))
    return first, second


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


def loaded(weights: str, device: str) -> TrainedModel:
    """The model, after its first use, which takes longer."""
    model = load_trained_model(weights)
    clip = model.video_clip.to(device).eval()
    with torch.inference_mode():
        clip.encode_frames(torch.zeros(1, 1, 3, *[model.clips.geometry().crop_size] * 2, dtype=torch.uint8).to(device))
    return model


def index_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Row about indexing of short videos in one process."""
    videos, weights = prepared(options, folder)
    model = loaded(weights, options.device)
    clips = model.clips.resolved()
    times = compare(
        lambda: read_and_encode(videos, model, clips),
        lambda: index(videos, model, folder / "library"),
        options.rounds,
    )
    return [row("reader and encoder, to indexing of short videos", *times)]


def long_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Row about indexing of one long video in one process."""
    options.clips = 1
    (film,), weights = prepared(options, folder)
    model = loaded(weights, options.device)
    clips, video = model.clips.resolved(), folder / "long.mp4"
    repeat(film, video, round(6 * options.minutes))
    times = compare(
        lambda: embed_video(video, model.video_clip, clips, ""),
        lambda: index([video], model, folder / "library"),
        options.rounds,
    )
    return [row(f"reader and encoder, to indexing of a video of {options.minutes:g} minutes", *times)]


def processes_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Row about indexing in two processes."""
    videos, weights = prepared(options, folder)
    return [compare_processes(videos[0].parent, weights, folder / "library", options.device, options.rounds)]


def question_part(options: argparse.Namespace, folder: Path) -> list[str]:
    """Rows about questions to a large synthetic library."""
    return measure(options.part, options.folder or folder, options.segments, options.uniform, options.rounds)


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[str]]] = {
    "index": index_part,
    "long": long_part,
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
    parser.add_argument("--minutes", type=float, default=10, help="length of the long video")
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
