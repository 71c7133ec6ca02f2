"""Memory and time of one contrastive step: complete batch, micro-batches with the gradient cache, one micro-batch.

Each runs in a separate process. Memory is the peak minus that before the step: resident memory on a CPU, allocated
memory on a GPU. Uses the tiny CLIP by default, or another one with --pretrained.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch
from own_process import PLAIN_MALLOC

from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.toyworld.dataset import label_space

MODES = ("at once", "gradient cache", "one micro-batch")


def peak(device: torch.device) -> float:
    """Returns the peak memory of the process in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # KB on Linux


def measure(mode: str, options: argparse.Namespace) -> dict[str, float | str]:
    torch.manual_seed(0)
    device = torch.device(options.device)
    task = ContrastiveRecognition(VideoCLIP(options.pretrained), OptimalDescriptorSolver()).to(device)
    size = task.video_clip.image_size
    videos = options.micro_batch if mode == "one micro-batch" else options.videos
    clips = torch.randint(0, 256, (videos, 1, options.frames, 3, size, size), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 20, (videos,))
    parts = options.micro_batch if mode == "gradient cache" else videos
    sentences = task.tokenize(label_space(0, "seen"))
    # gradients and the CPU's thread pools exist before the step, as in training
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        task.loss([clips[:1]], [labels[:1]], sentences).backward()
        before, seconds = peak(device), []
        for _ in range(options.repetitions):
            task.zero_grad(set_to_none=False)
            began = time.perf_counter()
            loss = task.loss(list(clips.split(parts)), list(labels.split(parts)), sentences)
            loss.backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
    gradients = torch.stack([p.grad.norm() for p in task.parameters() if p.grad is not None]).norm()
    return {
        "mode": mode,
        "videos": videos,
        "peak_mb": peak(device) - before,
        "seconds": statistics.median(seconds),
        "loss": loss.item(),
        "gradient_norm": gradients.item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=256)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--micro_batch", type=int, default=8)
    parser.add_argument("--pretrained", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--alone", choices=MODES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(measure(options.alone, options)))
        return
    if not options.json:
        print("| step | videos | peak | time | loss | gradient norm |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for mode in options.modes:
        command = [sys.executable, *sys.argv, f"--alone={mode}"]
        environment = {**os.environ, **PLAIN_MALLOC}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)  # noqa: S603 # this script
        if done.returncode:
            print(f"| {mode} | ended with status {done.returncode}: not enough memory? |")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        if options.json:
            print(json.dumps(result))
            continue
        print(
            f"| {mode} | {result['videos']} | {result['peak_mb']:.0f} MB | {result['seconds']:.2f} s | "
            f"{result['loss']:.6f} | {result['gradient_norm']:.6f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
