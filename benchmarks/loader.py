"""Training clips through a data module: clips a second of the whole chain, and the shares of its parts.

Reads Kinetics-like clips (see film_clips.py), T frames, short side 256, squares of 224 pixels. The bare reader opens,
decodes and converts whole frames to short side 256, and does nothing else; the data set also draws, crops, resizes and
mirrors; the loader also collates and hands over from worker processes. Repetitions are interleaved; prints medians and
spread of clips a second, and the ratio to the bare reader. Two ways to a random crop are compared: inside the scaler
(what the data set does), and whole frames that torchvision crops and resizes. Colours are timed by themselves.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from film_clips import Film, make
from torchvision.transforms.v2 import functional as F

from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.resources import cache_folder
from ost_lightning.video import FrameSampler, SampleKey, TrainingClips, TrainingTransform, VideoRecord, open_video

SHORT_SIDE, SIDE = 256, 224


def bare(path: Path, indices: torch.Tensor) -> None:
    with open_video(path) as video:
        video.read(indices, SHORT_SIDE)


def torchvision_crop(path: Path, indices: torch.Tensor, generator: torch.Generator) -> None:
    with open_video(path) as video:
        clip = video.read(indices, SHORT_SIDE)
    box = TrainingTransform(SIDE).squares(*clip.shape[-2:], generator).boxes[0]
    F.resized_crop(clip, box.top, box.left, box.height, box.width, [SIDE, SIDE], antialias=True)


def module(folder: Path, names: list[str], frames: int, workers: int, copies: int) -> VideoLists:
    (folder / "classes.txt").write_text("film\n")
    (folder / "train.txt").write_text("".join(f"{name} 0\n" for name in names * copies))
    loading = LoadingSettings(global_batch_size=8, workers=workers)
    clips = ClipSettings(frames=frames, short_side=SHORT_SIDE, crop_size=SIDE)
    return VideoLists(str(folder), VideoList(folder / "train.txt", str(folder)), clips=clips, loading=loading)


def rate(work: Callable[[], int]) -> tuple[float, float]:
    """Clips a second by the wall clock, and by this process's CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    clips = work()
    return clips / (time.perf_counter() - wall), clips / (time.process_time() - cpu)


def show(name: str, rates: list[tuple[float, float]], base: list[tuple[float, float]]) -> None:
    wall = [pair[0] for pair in rates]
    ratios = [statistics.median(mine[k] / its[k] for mine, its in zip(rates, base, strict=True)) for k in (0, 1)]
    print(
        f"  {name:34s} {statistics.median(wall):6.1f} clips/s ({min(wall):.1f} to {max(wall):.1f})  "
        f"{ratios[0]:.2f} x the first by wall clock, {ratios[1]:.2f} x by CPU time",
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


def measure(paths: list[Path], frames: int, options: argparse.Namespace) -> None:
    batch = 8
    records = [VideoRecord(path, 0, path.name) for path in paths] * (batch // len(paths))
    transform = TrainingTransform(SIDE)
    dataset = TrainingClips(records, sampler=FrameSampler(frames), transform=transform, short_side=SHORT_SIDE, seed=0)
    names = [path.name for path in paths]
    loaders = []
    for _ in range(options.repetitions + 1):  # one for each repetition: a pass is over once it has been gone through
        data = module(paths[0].parent, names, frames, options.workers, batch // len(paths))
        data.setup("fit")
        loaders.append(data.train_dataloader())
    generator = torch.Generator().manual_seed(0)

    def indices() -> torch.Tensor:
        return FrameSampler(frames).random(300, generator)[0]

    def read_all() -> int:
        for record in records:
            bare(record.path, indices())
        return batch

    def crop_outside() -> int:
        for record in records:
            torchvision_crop(record.path, indices(), generator)
        return batch

    def draw_all() -> int:
        for index in range(batch):
            dataset[SampleKey(index, 0)]
        return batch

    def load_all() -> int:
        return sum(len(loaded) for loaded in loaders.pop())

    clips = torch.randint(0, 256, (batch, 1, frames, 3, SIDE, SIDE), dtype=torch.uint8)

    def change_colours() -> int:
        return len(transform(clips, list(range(batch))))

    cases = {
        "bare reader, whole frames": read_all,
        "+ crop and resize by torchvision": crop_outside,
        "data set: crop inside the scaler": draw_all,
        "data module: + collate": load_all,
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for work in cases.values():
        work()
    for _ in range(options.repetitions):
        for name, work in cases.items():
            rates[name].append(rate(work))
    for name, measured in rates.items():
        show(name, measured, rates["bare reader, whole frames"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clips = clips.to(device)
    change_colours()
    colours = [rate(change_colours)[0] for _ in range(options.repetitions)]
    print(f"  colours of a batch on {device}: {statistics.median(colours):.1f} clips/s")


if __name__ == "__main__":
    main()
