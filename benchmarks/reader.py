"""Sparse reading of Kinetics-like clips: the suite's reader compared with decord and torchcodec, in the same run.

Reads T frames of a clip (by default 10 s at 30 frames per second, see film_clips.py), one drawn from each of T
segments: short side 256, center crop of 224 pixels, uint8, one decoding thread per process. Every repetition runs all
readers in random order, each on two clips in a row, of which the second is timed. Prints medians and spread of times,
and ratios of times paired within a repetition: by wall time, and by CPU time, which other work on the machine affects
less. With two workers: clips per second of two parallel processes, in rounds in which the readers take turns.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from film_clips import Film, describe, make
from other_readers import link_ffmpeg
from torch import Tensor

from ost_lightning.resources import cache_folder
from ost_lightning.video import EvaluationTransform, VideoAddress, VideoRoot, open_video
from ost_lightning.video.maintenance import plan_shards, write_shards

SIDE, SHORT_SIDE = 224, 256
LINKED = "OST_BENCH_FFMPEG"
ROUND_S = 2.0


def ost(address: VideoAddress, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
    with open_video(address) as video:
        return video.read_crops(indices, SHORT_SIDE, EvaluationTransform(SIDE).crop_spec)[0]


def resized(size: tuple[int, int]) -> tuple[int, int]:
    return tuple(side * SHORT_SIDE // min(size) for side in size)


def center(frames: Tensor) -> Tensor:
    top, left = (round((side - SIDE) / 2) for side in frames.shape[-2:])
    return frames[..., top : top + SIDE, left : left + SIDE].contiguous()


def decord(path: Path, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
    import decord as library

    height, width = resized(size)
    with library.bridge.use_torch():
        video = library.VideoReader(str(path), num_threads=1, width=width, height=height)
        return center(video.get_batch(list(indices)).permute(0, 3, 1, 2))


def torchcodec(path: Path, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import CenterCrop, Resize

    steps = [*([Resize(resized(size))] if resized(size) != size else []), CenterCrop((SIDE, SIDE))]
    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="exact", transforms=steps)
    return decoder.get_frames_at(list(indices)).data


READERS: dict[str, Callable[..., Tensor]] = {"ost": ost, "decord": decord, "torchcodec": torchcodec}


def draw(frames: int, length: int, seed: Sequence[int]) -> list[int]:
    """Draws one frame per segment."""
    edges = np.linspace(0, length, frames + 1).astype(int)
    rng = np.random.default_rng(list(seed))
    return [int(rng.integers(first, last)) for first, last in pairwise(edges)]


def measure(
    cases: dict[str, Callable[[Sequence[int]], Tensor]], frames: int, length: int, repetitions: int, seed: int
) -> dict[str, list[tuple[float, float]]]:
    """Returns seconds (wall, CPU) per case and repetition, for the second of two clips in a row."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    order = random.Random(seed)
    for repetition in range(-1, repetitions):
        indices = draw(frames, length, [seed, repetition + 1, frames])
        for name in order.sample(list(cases), len(cases)):
            cases[name](draw(frames, length, [seed, repetition + 1]))  # memory as after a clip of the same reader
            wall, cpu = time.perf_counter(), time.process_time()
            clip = cases[name](indices)
            taken = (time.perf_counter() - wall, time.process_time() - cpu)
            assert clip.shape == (frames, 3, SIDE, SIDE)
            if repetition >= 0:  # the first one warms up
                times[name].append(taken)
    return times


def compare(label: str, times: dict[str, list[tuple[float, float]]], base: str) -> None:
    """Prints one line per case: medians, spread, and the relative speed of the base."""
    for name, taken in times.items():
        wall, cpu = ([1000 * pair[k] for pair in taken] for k in (0, 1))
        ratios = [
            statistics.median(mine[k] / first[k] for mine, first in zip(taken, times[base], strict=True))
            for k in (0, 1)
        ]
        print(
            f"{label}  {name:10s} wall {statistics.median(wall):7.1f} ms ({min(wall):.1f} to {max(wall):.1f})  CPU "
            f"{statistics.median(cpu):7.1f} ms ({min(cpu):.1f} to {max(cpu):.1f})  {base} is {ratios[0]:.2f} x as fast "
            f"(wall), {ratios[1]:.2f} x (CPU)",
            flush=True,
        )


def run_worker(
    reader: str, path: Path, frames: int, length: int, size: tuple[int, int], seed: int, seconds: float
) -> float:
    """Returns clips per second of one of several processes."""
    torch.set_num_threads(1)
    READERS[reader](path, draw(frames, length, [seed]), size)
    began, clips = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        READERS[reader](path, draw(frames, length, [seed, clips]), size)
        clips += 1
    return clips / (time.perf_counter() - began)


def two_workers(label: str, path: Path, frames: int, length: int, size: tuple[int, int], rounds: int) -> None:
    """Prints clips per second of two parallel processes: medians of rounds in which the readers take turns."""
    rates: dict[str, list[float]] = {reader: [] for reader in READERS}
    with ProcessPoolExecutor(2) as pool:
        for turn in range(rounds):
            for reader in random.Random(turn).sample(list(READERS), len(READERS)):
                work = partial(run_worker, reader, path, frames, length, size, seconds=ROUND_S)
                rates[reader].append(sum(pool.map(work, (2 * turn, 2 * turn + 1))))
    summaries = []
    for reader, rate in rates.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(rates["ost"], rate, strict=True))
        summaries.append(
            f"{reader} {statistics.median(rate):.1f} clips/s ({min(rate):.1f} to {max(rate):.1f}; {ratio:.2f} x)"
        )
    print(f"{label}  two workers: {', '.join(summaries)}", flush=True)


def restart_with_ffmpeg() -> None:
    """Restarts this script with PyAV's FFmpeg libraries on its library path, which torchcodec needs."""
    if LINKED in os.environ:
        return
    with tempfile.TemporaryDirectory() as folder:
        link_ffmpeg(Path(folder))
        paths = os.pathsep.join(filter(None, (folder, os.environ.get("LD_LIBRARY_PATH"))))
        environment = {**os.environ, LINKED: "1", "LD_LIBRARY_PATH": paths}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)  # noqa: S603


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--clips", type=int, default=2, help="number of clips per size and GOP")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--gops", type=int, nargs="+", default=[250, 12])
    parser.add_argument("--sizes", nargs="+", default=["340x256", "1280x720"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="clips to measure instead")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "film")
    options = parser.parse_args()
    restart_with_ffmpeg()
    torch.set_num_threads(1)
    kinds = [(*map(int, size.split("x")), gop) for size in options.sizes for gop in options.gops]
    groups = {}
    for width, height, gop in [] if options.files else kinds:
        clips = [make(Film(width, height, gop, k), options.cache) for k in range(options.clips)]
        groups[f"{width}x{height} GOP {gop:3d}"] = clips
    for label, paths in {file.name: [file] for file in options.files}.items() if options.files else groups.items():
        print("\n".join(map(describe, paths)))
        with open_video(paths[0]) as video:
            size, length = (video.height, video.width), len(video)
        for frames in options.frames:
            if 1 in options.workers:
                pooled: dict[str, list[tuple[float, float]]] = {name: [] for name in READERS}
                for k, path in enumerate(paths):
                    cases = {name: partial(read, path, size=size) for name, read in READERS.items()}
                    for name, taken in measure(cases, frames, length, options.repetitions, k).items():
                        pooled[name] += taken
                compare(f"{label} T {frames:2d}", pooled, "ost")
            if 2 in options.workers:
                two_workers(f"{label} T {frames:2d}", paths[0], frames, length, size, options.repetitions)
        with tempfile.TemporaryDirectory() as folder:
            write_shards(plan_shards({path.name: path for path in paths}, Path(folder), 10**9))
            member = VideoRoot(folder).locate(paths[0].name)
            cases = {"file": partial(ost, paths[0], size=size), "shard": partial(ost, member, size=size)}
            compare(f"{label} T  8", measure(cases, 8, length, 3 * options.repetitions, 0), "file")


if __name__ == "__main__":
    main()
