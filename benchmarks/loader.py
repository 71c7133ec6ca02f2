"""Training clips from a data module: clips per second of the complete pipeline, and of its parts.

Reads Kinetics-like clips (see film_clips.py), T frames, short side 256, crops of 224 pixels. The bare reader only
opens, decodes and scales full frames to short side 256. The data set also draws, crops, resizes and mirrors; the loader
also collates and transfers from worker processes. All of them read the same frames; repetitions are interleaved, each
with new frames. Prints medians and spread of clips per second, and the ratio to the bare reader. Two kinds of random
crop are compared: inside the scaler (as in the data set), and by torchvision from full frames. Color augmentation is
timed separately.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from film_clips import Film, make
from torchvision.transforms.v2 import functional as F

from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.resources import cache_folder
from ost_lightning.video import FrameSampler, TrainingTransform, open_video

SHORT_SIDE, SIDE, BATCH = 256, 224, 8


def bare(path: Path, indices: torch.Tensor) -> None:
    with open_video(path) as video:
        video.read(indices, SHORT_SIDE)


def torchvision_crop(path: Path, indices: torch.Tensor, generator: torch.Generator) -> None:
    with open_video(path) as video:
        clip = video.read(indices, SHORT_SIDE)
    box = TrainingTransform(SIDE).crop_spec(*clip.shape[-2:], generator).boxes[0]
    F.resized_crop(clip, box.top, box.left, box.height, box.width, [SIDE, SIDE], antialias=True)


def module(folder: Path, names: list[str], frames: int, workers: int, copies: int) -> VideoLists:
    (folder / "classes.txt").write_text("film\n")
    (folder / "train.txt").write_text("".join(f"{name} 0\n" for name in names * copies))
    loading = LoadingSettings(global_batch_size=BATCH, workers=workers)
    clips = ClipSettings(frames=frames, short_side=SHORT_SIDE, crop_size=SIDE)
    return VideoLists(str(folder), VideoList(folder / "train.txt", str(folder)), clips=clips, loading=loading)


def rate(work: Callable[[], int]) -> tuple[float, float]:
    """Returns clips per second by wall time, and by the CPU time of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    clips = work()
    return clips / (time.perf_counter() - wall), clips / (time.process_time() - cpu)


def show(name: str, rates: list[tuple[float, float]], base: list[tuple[float, float]]) -> None:
    wall = [pair[0] for pair in rates]
    ratios = [statistics.median(mine[k] / its[k] for mine, its in zip(rates, base, strict=True)) for k in (0, 1)]
    print(
        f"  {name:34s} {statistics.median(wall):6.1f} clips/s ({min(wall):.1f} to {max(wall):.1f})  "
        f"{ratios[0]:.2f} x the first by wall time, {ratios[1]:.2f} x by CPU time",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--gops", type=int, nargs="+", default=[250, 12])
    parser.add_argument("--size", default="340x256")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="processes of the data module's loader")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--cache", type=Path, default=cache_folder() / "film")
    options = parser.parse_args()
    torch.set_num_threads(1)
    width, height = map(int, options.size.split("x"))
    for gop in options.gops:
        paths = [make(Film(width, height, gop, k), options.cache) for k in range(options.clips)]
        for frames in options.frames:
            print(f"{options.size} GOP {gop}, T {frames}, {options.workers} workers")
            measure(paths, frames, options)


class Recorder:
    """Replaces a data set's sampler and records the frames that it draws."""

    def __init__(self, sampler: FrameSampler) -> None:
        self.sampler, self.drawn = sampler, list[torch.Tensor]()

    def random(self, available: int, generator: torch.Generator) -> torch.Tensor:
        drawn = self.sampler.random(available, generator)
        self.drawn.append(drawn[0])
        return drawn


class Pass:
    """One pass over the clips, with one method per case."""

    def __init__(self, data: VideoLists, epoch: int) -> None:
        data.setup("fit")
        self.loader = data.train_dataloader()
        self.loader.sampler.set_epoch(epoch)
        self.dataset, self.keys = self.loader.dataset, list(self.loader.sampler)
        self.generator = torch.Generator().manual_seed(epoch)
        sampler = self.dataset.sampler
        recorder = self.dataset.sampler = Recorder(sampler)
        self.data_set()
        self.dataset.sampler = sampler
        self.reads = [
            (self.dataset.records[key.index].path, indices)
            for key, indices in zip(self.keys, recorder.drawn, strict=True)
        ]

    def bare(self) -> int:
        for path, indices in self.reads:
            bare(path, indices)
        return len(self.reads)

    def crop_outside(self) -> int:
        for path, indices in self.reads:
            torchvision_crop(path, indices, self.generator)
        return len(self.reads)

    def data_set(self) -> int:
        for key in self.keys:
            self.dataset[key]
        return len(self.keys)

    def data_module(self) -> int:
        return sum(len(loaded) for loaded in self.loader)


CASES = {
    "bare reader, full frames": Pass.bare,
    "+ crop and resize by torchvision": Pass.crop_outside,
    "data set: crop inside the scaler": Pass.data_set,
    "data module: + collate": Pass.data_module,
}


def measure(paths: list[Path], frames: int, options: argparse.Namespace) -> None:
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    order, names = random.Random(0), [path.name for path in paths]
    for epoch in range(options.repetitions):
        data = module(paths[0].parent, names, frames, options.workers, BATCH // len(paths))
        clips_pass = Pass(data, epoch)
        for name in order.sample(list(CASES), len(CASES)):
            rates[name].append(rate(partial(CASES[name], clips_pass)))
    for name, measured in rates.items():
        show(name, measured, rates["bare reader, full frames"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clips = torch.randint(0, 256, (BATCH, 1, frames, 3, SIDE, SIDE), dtype=torch.uint8, device=device)
    transform = TrainingTransform(SIDE)

    def change_colors() -> int:
        return len(transform(clips, list(range(BATCH))))

    change_colors()
    colors = [rate(change_colors)[0] for _ in range(options.repetitions)]
    print(f"  color augmentation of a batch on {device}: {statistics.median(colors):.1f} clips/s")


if __name__ == "__main__":
    main()
