"""The whole: zero-shot recognition of many clips, by `ost test` and as other libraries' documentation shows it.

* ost_lightning: `ost test` with the baseline `clip`: mean of the frames against the class names.
* transformers + decord: one video after the other: decord's `get_batch`, `CLIPProcessor`, `get_image_features`.
* transformers + torchcodec: the same with torchcodec's `get_frames_at`.

All three read the same frames of the same files (see film_clips.py; few different ones under many names, so the files
are in the page cache), encode the class names once, and have the same ViT-B with random weights. Every side runs in a
process of its own, twice: with all clips, and with few. The difference is the time of the clips without the start.

Prints videos per second by wall time, the time of the start, processor time per video, the share of time in which the
cores were idle, and the peak memory of the process and its workers. Processor time is the same on a busy machine.

With `--precision bf16`, ost_lightning has `--cpu_precision bf16`, and the others run in autocast, which their
documentation doesn't show for a CPU.

On a CPU: end_to_end.py --videos 1000
Shorter: end_to_end.py --videos 120
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from film_clips import FRAMES, Film, make
from other_readers import link_ffmpeg
from random_clip import save_random_clip

from ost_lightning.machine import usable_cores
from ost_lightning.resources import cache_folder

SIDES: Final = ("ost_lightning", "transformers + decord", "transformers + torchcodec")
CLASSES: Final = 400
FIRST: Final = 16
"""Number of clips of the short run, from which the time of the start follows."""


@dataclass(frozen=True)
class Taken:
    """Wall time, CPU time and peak memory of a process and of those that it waited for."""

    wall: float
    cpu: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--films", type=int, default=8, help="number of different clips")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--cache", type=Path, default=cache_folder() / "film")
    parser.add_argument("--side", choices=SIDES, help="run one side on the folder --work; for this script itself")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.side is not None:
        by_transformers(options)
        return
    films = [make(Film(340, 256, 250, seed), options.cache) for seed in range(options.films)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, films, options)
        print(f"{options.videos} clips of 340 x 256, {options.frames} frames each, ViT-B/{options.patch}, ", end="")
        print(f"{options.device}, {options.precision}, {usable_cores()} cores")
        print("| side | videos/s | start | processor time | idle cores | peak memory |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        rates: dict[str, float] = {}
        for side in SIDES:
            few = run(work, side, FIRST, options)
            many = run(work, side, options.videos, options)
            seconds = (many.wall - few.wall) / (options.videos - FIRST)
            processor = (many.cpu - few.cpu) / (options.videos - FIRST)
            busy = processor / (seconds * usable_cores())
            rates[side] = 1 / seconds
            start = few.wall - FIRST * seconds
            print(
                f"| {side} | {rates[side]:.2f} | {start:.1f} s | {processor:.2f} s | {max(0.0, 1 - busy):.0%} "
                f"| {many.memory:.1f} GB |",
                flush=True,
            )
        best = max(rates[side] for side in SIDES[1:])
        print(f"{rates[SIDES[0]] / best:.2f} x the better of the other two")


def prepare(work: Path, films: list[Path], options: argparse.Namespace) -> None:
    """Writes weights, class names, and a folder of clips with their lists."""
    clips = work / "videos"
    clips.mkdir()
    for number in range(options.videos):
        (clips / f"{number:06d}.mp4").symlink_to(films[number % len(films)])
    names = [f"{verb} {noun}" for verb in VERBS for noun in NOUNS][:CLASSES]
    (clips / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    for count in {FIRST, options.videos}:
        rows = [f"{number:06d}.mp4 {number % len(films)}\n" for number in range(count)]
        (clips / f"first_{count}.txt").write_text("".join(rows))
    torch.manual_seed(0)
    save_random_clip(options.patch, work / "weights")
    link_ffmpeg(work / "ffmpeg")


def run(work: Path, side: str, videos: int, options: argparse.Namespace) -> Taken:
    """Runs a side in a process of its own."""
    if side == SIDES[0]:
        command = [
            *("-m", "ost_lightning", "test", "--config=own_videos", "--config=baselines/clip"),
            *("--model.templates=raw_name", f"--model.video_clip.init_args.pretrained={work / 'weights'}"),
            *(f"--data.root={work / 'videos'}", f"--data.test.own.list={work / 'videos' / f'first_{videos}.txt'}"),
            *(f"--data.clips.frames={options.frames}", f"--tracking.folder={work / 'runs'}"),
            f"--trainer.accelerator={'gpu' if options.device == 'cuda' else 'cpu'}",
        ]
        if options.device == "cpu":
            command += ["--trainer.precision=32-true", f"--cpu_precision={options.precision}"]
        else:
            command += [f"--trainer.precision={'bf16-mixed' if options.precision == 'bf16' else '32-true'}"]
    else:
        command = [__file__, "--side", side, "--work", str(work), "--videos", str(videos)]
        command += ["--frames", str(options.frames), "--device", options.device, "--precision", options.precision]
    environment = os.environ | {"LD_LIBRARY_PATH": str(work / "ffmpeg"), "WANDB_MODE": "disabled"}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with (work / "messages.txt").open("w+") as messages:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *command], cwd=work, env=environment, stdout=subprocess.DEVNULL, stderr=messages
        )
        memory = max(peak_memory(process), default=0.0)
        if process.wait() != 0:
            raise SystemExit(f"{side} failed:\n{(work / 'messages.txt').read_text()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(time.perf_counter() - began, cpu, memory)


def peak_memory(process: "subprocess.Popen[bytes]") -> Iterator[float]:
    """Yields the memory of a process and its workers, in GB, once per second while it runs."""
    page = os.sysconf("SC_PAGE_SIZE") / 1e9
    while process.poll() is None:
        total = 0.0
        for pid in [process.pid, *children(process.pid)]:
            try:
                resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
            except (FileNotFoundError, ProcessLookupError):
                continue
            # pages of files are shared among the processes
            total += (resident if pid == process.pid else resident - shared) * page
        yield total
        time.sleep(1.0)


def children(pid: int) -> list[int]:
    """Returns the direct and indirect children of a process."""
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [each for child in found for each in (child, *children(child))]


def by_transformers(options: argparse.Namespace) -> None:
    """Recognizes the clips one after the other, as the documentation of the libraries shows."""
    work, frames, videos, device = options.work, options.frames, options.videos, options.device
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(work / "weights").eval().to(device)
    processor = processor_of(work / "weights")
    assert isinstance(processor, CLIPProcessor)
    names = (work / "videos" / "classes.txt").read_text().splitlines()
    read = with_decord if "decord" in options.side else with_torchcodec
    # centers of equal segments, as `ost test` samples
    indices = [int((number + 0.5) * FRAMES / frames) for number in range(frames)]
    correct = 0
    autocast = torch.autocast(device, torch.bfloat16, enabled=options.precision == "bf16")
    with torch.inference_mode(), autocast:
        tokens = processor(text=names, return_tensors="pt", padding=True).to(device)
        texts = torch.nn.functional.normalize(model.get_text_features(**tokens).pooler_output, dim=-1)
        for line in (work / "videos" / f"first_{videos}.txt").read_text().splitlines():
            name, label = line.split()
            inputs = processor(images=list(read(work / "videos" / name, indices)), return_tensors="pt").to(device)
            features = model.get_image_features(**inputs).pooler_output
            video = torch.nn.functional.normalize(features.mean(0), dim=-1)
            correct += int((texts @ video).argmax()) == int(label)
    print(correct / videos)


def processor_of(weights: Path) -> Any:
    """Returns the processor of a CLIP of 224 pixels."""
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPProcessor

    return CLIPProcessor(CLIPImageProcessor(), AutoTokenizer.from_pretrained(weights))


def with_decord(path: Path, indices: list[int]) -> Any:
    import decord

    return decord.VideoReader(str(path), num_threads=1, ctx=decord.cpu(0)).get_batch(indices).asnumpy()


def with_torchcodec(path: Path, indices: list[int]) -> Any:
    from torchcodec.decoders import VideoDecoder

    return VideoDecoder(str(path)).get_frames_at(indices).data


VERBS: Final = (
    *("carrying", "catching", "cleaning", "cutting", "drawing", "holding", "kicking", "lifting", "moving", "opening"),
    *("painting", "pulling", "pushing", "rolling", "shaking", "spinning", "throwing", "touching", "turning", "washing"),
)
NOUNS: Final = (
    *("apple", "bag", "ball", "basket", "bicycle", "book", "bottle", "bowl", "box", "brush"),
    *("chair", "cup", "door", "drum", "hat", "ladder", "plate", "rope", "table", "wheel"),
)

if __name__ == "__main__":
    main()
