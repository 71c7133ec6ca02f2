"""What feeds a GPU, against what it needs: reading on all cores of its host, and colors on the device.

Steps are those of `cost.py` (OD Solver). Reading is sparse, from a Kinetics-like clip of 10 s, 340 x 256, with a
keyframe every 250 pictures, in one process per core. Colors are the default color jitter and grayscale, and
RandAugment.

On a GPU: feeding.py --device cuda --patch 16 --frames 32 --batch 16 --precision bf16 --compile
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from cost import Side, timed
from film_clips import Film, make

from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.video import FrameSampler, TrainingTransform, read_frames

PICTURES = 300
COLORS = {
    "color jitter and grayscale": {},
    "RandAugment (2, 9)": {"color_jitter": 0.0, "grayscale": 0.0, "rand_augment": (2, 9)},
}


def read_for(file: Path, frames: int, seconds: float) -> float:
    """Returns the clips per second that this process reads."""
    torch.set_num_threads(1)
    indices = FrameSampler(frames).middle(PICTURES)[0]
    read_frames(file, indices)  # imports
    began, clips = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        read_frames(file, indices)
        clips += 1
    return clips / (time.perf_counter() - began)


def reading(frames: int, processes: int, seconds: float) -> float:
    """Returns the clips per second that several processes read at the same time."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool,
    ):
        file = make(Film(340, 256, 250, 0), Path(folder))
        rates = [pool.submit(read_for, file, frames, seconds) for _ in range(processes)]
        return sum(rate.result() for rate in rates)


def median_seconds(work: Callable[[], object], options: argparse.Namespace) -> float:
    taken = [timed(work, options.device) for _ in range(options.repetitions + 2)]
    return statistics.median(taken[2:])  # the first ones compile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=12, help="layers of each tower")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="compile the vision tower, as modes/compiled does")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="all usable cores")
    parser.add_argument("--seconds", type=float, default=5, help="time of reading")
    options = parser.parse_args()
    options.gradient_checkpointing = False
    torch.manual_seed(0)
    read = {count: reading(options.frames, count, options.seconds) for count in sorted({1, options.processes})}
    side = Side(OptimalDescriptorSolver(), options)
    if options.compile:
        side.compile()
    steps = {"training": median_seconds(side.train, options), "evaluation": median_seconds(side.infer, options)}
    needed = {step: options.batch / seconds for step, seconds in steps.items()}
    print(f"| {options.batch} videos of {options.frames} frames | videos/s | of training | of evaluation |")
    print("| --- | ---: | ---: | ---: |")
    for step, rate in needed.items():
        print(f"| {step} needs | {rate:.1f} | {rate / needed['training']:.2f} | {rate / needed['evaluation']:.2f} |")
    for count, rate in read.items():
        shares = " | ".join(f"{rate / need:.2f}" for need in needed.values())
        print(f"| reading, {count} {'process' if count == 1 else 'processes'} | {rate:.1f} | {shares} |")
    print("\n| colors on the device | ms per step | of a training step |\n| --- | ---: | ---: |")
    for name, settings in COLORS.items():
        change = partial(TrainingTransform(224, **settings), side.clips, range(options.batch))
        seconds = median_seconds(change, options)
        print(f"| {name} | {1000 * seconds:.1f} | {100 * seconds / steps['training']:.1f} % |")


if __name__ == "__main__":
    main()
