"""Effect of the settings of `ost data transcode` on a clip: size, PSNR, and the time to read frames sparsely.

Rewrites clips (by default those of film_clips.py with a keyframe every 250 frames) with each setting. Then reads T
frames, one drawn from each of T segments: short side 256, center crop of 224 pixels. Readings are interleaved. Prints
medians of times, and speeds relative to the original clip, paired within a repetition. The PSNR compares luma with the
original clip over all frames, resized if its pixels are not square.
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from film_clips import Film, describe, make
from reader import draw, ost

from ost_lightning.resources import cache_folder
from ost_lightning.video import open_video
from ost_lightning.video.maintenance import TranscodeSettings, TranscodingJob, transcode

SETTINGS = {
    "every 12, not tuned": TranscodeSettings(fast_decode=False),
    "every 12 (default)": TranscodeSettings(),
    "every 4": TranscodeSettings(gop=4),
    "every 1": TranscodeSettings(gop=1),
    "every 12, crf 20": TranscodeSettings(crf=20),
    "every 4, crf 20": TranscodeSettings(gop=4, crf=20),
}


def psnr(path: Path, copy: Path) -> float:
    """Returns the PSNR of luma in dB."""
    errors = []
    with open_video(path) as first, open_video(copy) as second:
        for (_, a), (_, b) in zip(first.frames_in_order(), second.frames_in_order(), strict=True):
            size = {"height": b.height, "width": b.width, "interpolation": "BICUBIC"}  # with square pixels
            old, new = (frame.reformat(**size).to_ndarray(format="gray").astype(np.float32) for frame in (a, b))
            errors.append(float(np.square(old - new).mean()))
    return 10 * math.log10(255**2 / statistics.fmean(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="clips (short side 256) to measure instead")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--cache", type=Path, default=cache_folder() / "film")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for path in options.files or [make(Film(340, 256, 250, seed), options.cache) for seed in (0, 1)]:
        print(describe(path))
        with tempfile.TemporaryDirectory() as folder:
            measure(path, Path(folder), options.frames, options.repetitions)


def measure(path: Path, folder: Path, frames: list[int], repetitions: int) -> None:
    copies = {"original clip": path}
    for k, (name, settings) in enumerate(SETTINGS.items()):
        copies[name] = folder / f"{k}.mp4"
        if error := transcode(TranscodingJob(name, path, copies[name], settings)).error:
            raise SystemExit(error)
    with open_video(path) as video:
        size, length = (video.height, video.width), len(video)
    times: dict[tuple[str, int], list[float]] = {case: [] for case in product(copies, frames)}
    order = random.Random(0)
    for repetition in range(repetitions + 1):
        for name, count in order.sample(list(times), len(times)):
            indices = draw(count, length, [repetition, count])
            began = time.perf_counter()
            ost(copies[name], indices, size)
            if repetition:  # the first one warms up
                times[name, count].append(1000 * (time.perf_counter() - began))
    for name, copy in copies.items():
        cells = []
        for count in frames:
            taken, before = times[name, count], times["original clip", count]
            faster = statistics.median(old / new for old, new in zip(before, taken, strict=True))
            cells.append(f"T {count}: {statistics.median(taken):5.1f} ms ({faster:.2f} x)")
        quality = f"{psnr(path, copy):.1f} dB" if copy != path else "-"
        print(
            f"  {name:20s} {copy.stat().st_size / path.stat().st_size:.2f} x the size  {quality:8s} {'  '.join(cells)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
