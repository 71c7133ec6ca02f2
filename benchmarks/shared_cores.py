"""Cores shared between reading videos and the model: evaluation on a CPU, divided in several ways.

A division is a number of loading processes (`loading.workers`, as `ost test` has them) or reading threads (`--workers`
of `ost recognize` and `ost index`), and a number of threads of the model (OMP_NUM_THREADS). The model is a ViT-B with
random weights, and the clips are those of end_to_end.py. Divisions are timed in turns; the time of the start, which is
that of a run with few clips, is subtracted where processes have to start.

Prints the median of videos per second by wall time, and of the ratio to the first division, which is the default.

On a CPU: shared_cores.py
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from film_clips import Film, make
from random_clip import save_random_clip

from ost_lightning import Recognizer
from ost_lightning.datamodules import LoadingSettings, VideoList, VideoLists
from ost_lightning.evaluation import embed
from ost_lightning.machine import usable_cores
from ost_lightning.models import use_cpu_precision
from ost_lightning.recognition import load_trained_model
from ost_lightning.resources import cache_folder
from ost_lightning.text import LabelSpace

FEW = 8
BATCH = 8
CLASSES = [f"class {number}" for number in range(20)]


def main() -> None:
    options = parse()
    films = [make(Film(340, 256, 250, seed), options.cache) for seed in range(2)]
    print(f"{options.videos} clips of 340 x 256, {options.frames} frames each, ViT-B/{options.patch}, ", end="")
    print(f"{usable_cores()} cores, {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        torch.manual_seed(0)
        weights = save_random_clip(options.patch, work / "weights", options.layers)
        model = load_trained_model(str(weights))
        model = replace(model, clips=replace(model.clips, frames=options.frames))
        recognizer = Recognizer(model, LabelSpace(tuple(CLASSES)))
        prepare(work, films, options.videos)
        for command in options.command:
            for precision in options.precision:
                use_cpu_precision(model.video_clip.encoder, precision, recognizer.device)
                compare(command, precision, recognizer, work, options)


def parse() -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--command", nargs="+", default=["test", "recognize"], choices=("test", "recognize"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--divisions", nargs="+", type=division, help="readers/threads; all up to the cores otherwise")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "film")
    return parser.parse_args()


def division(text: str) -> tuple[int, int]:
    """Returns readers and threads of `2/1`."""
    readers, threads = text.split("/")
    return int(readers), int(threads)


def prepare(folder: Path, films: list[Path], videos: int) -> None:
    """Writes a folder of clips with a list of all and of few."""
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for number in range(FEW + videos):
        (folder / f"{number:06d}.mp4").symlink_to(films[number % len(films)])
    for count in (FEW, FEW + videos):
        rows = [f"{number:06d}.mp4 {number % len(films)}\n" for number in range(count)]
        (folder / f"first_{count}.txt").write_text("".join(rows))


def compare(command: str, precision: str, recognizer: Recognizer, work: Path, options: argparse.Namespace) -> None:
    """Times all divisions in turns, and prints a table."""
    run = partial(test if command == "test" else recognize, recognizer, work)
    cores = usable_cores()
    counts = sorted({1, max(1, cores // 2), cores})
    chosen = options.divisions or [(cores, cores), *((n, m) for n in (0, *counts) for m in counts if n * m != cores**2)]
    taken: dict[tuple[int, int], list[float]] = {each: [] for each in chosen}
    for _ in range(options.rounds):
        for readers, threads in chosen:
            torch.set_num_threads(threads)
            few = timed(partial(run, readers, FEW)) if command == "test" else 0.0
            whole = timed(partial(run, readers, options.videos + (FEW if few else 0)))
            taken[readers, threads].append((whole - few) / options.videos)
            rate = options.videos / (whole - few)
            print(f"{command}, {precision}, {readers}/{threads}: {rate:.2f} videos/s", file=sys.stderr, flush=True)
    readers_name = "loading processes" if command == "test" else "reading threads"
    print(f"\n| `ost {command}`, {precision}: {readers_name} | threads of the model | videos/s | to the default |")
    print("| --- | --- | ---: | ---: |")
    for (readers, threads), times in taken.items():
        ratios = [default / own for default, own in zip(taken[chosen[0]], times, strict=True)]
        spread = f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        rate = 1 / statistics.median(times)
        print(f"| {readers} | {threads} | {rate:.2f} | {spread} |", flush=True)


def test(recognizer: Recognizer, work: Path, readers: int, videos: int) -> None:
    """Embeds clips as `ost test` does."""
    loading = LoadingSettings(workers=readers, evaluation_batch_size=BATCH)
    data = VideoLists(str(work), test=VideoList(work / f"first_{videos}.txt"), clips=recognizer.clips, loading=loading)
    data.setup("test")
    with torch.inference_mode():
        for batch in data.test_dataloader()[0]:
            embed(recognizer.model.video_clip, batch.frames)


def recognize(recognizer: Recognizer, work: Path, readers: int, videos: int) -> None:
    """Recognizes clips as `ost recognize` does."""
    paths = [work / f"{number:06d}.mp4" for number in range(videos)]
    assert len(list(recognizer.stream(paths, threads=readers, batch_size=BATCH))) == videos


def timed(work: Callable[[], None]) -> float:
    """Returns the wall time that a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
