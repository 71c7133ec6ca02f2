"""Everything that is measured on a GPU, in one run: prints Markdown for docs/performance.md.

Each part is a benchmark of this folder in a process of its own, with a time limit; a part that fails, takes too long or
no longer fits into the minutes is named in its place: gpu.py --output gpu.md
Single parts: gpu.py --part cost transport
On a CPU, at a size that only shows that every part works: gpu.py --device cpu
"""

import argparse
import math
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

FOLDER = Path(__file__).resolve().parent
CLIPS = "--patch 16 --frames 32 --batch 16"


@dataclass(frozen=True)
class Part:
    """One table.

    Attributes:
        title: Heading of the table.
        script: File in this folder, or the tests.
        options: Options on a GPU.
        tiny: Options on a CPU.
        limit: Largest number of seconds on a GPU.
    """

    title: str
    script: str
    options: str
    tiny: str
    limit: int = 120


SMALL = "--patch 32 --layers 1 --frames 1 --batch 1"
QUICK = f"{SMALL} --classes 3 --repetitions 1 --warm_up 0"
PARTS = {
    "tests": Part(
        "Tests on a GPU", "pytest", "-m gpu -n 6 -q --no-header", "tests/test_vocabulary.py -n 0 -q --no-header"
    ),
    "cost": Part("Cost of OST, bf16 autocast, compiled", "cost.py", f"{CLIPS} --precision bf16 --compile", QUICK),
    "cost_weights": Part(
        "Cost of OST, bf16 weights, compiled",
        "cost.py",
        f"{CLIPS} --precision bf16-true --compile",
        f"{QUICK} --precision bf16-true",
        60,
    ),
    "fp8": Part(
        "Evaluation in fp8, compiled",
        "fp8.py",
        "--patch 16 --batch 512 --precision bf16 --compile",
        "--layers 1 --batch 1 --clips 1 --repetitions 1",
        60,
    ),
    "tower": Part(
        "The vision tower against transformers",
        "vision_tower.py",
        "--batch 512 --precision bf16 --compile",
        "--patch 32 --layers 1 --batch 1 --repetitions 1",
    ),
    "feeding": Part(
        "Reading and colors against what the GPU needs",
        "feeding.py",
        f"{CLIPS} --precision bf16 --compile",
        f"{SMALL} --classes 3 --repetitions 1 --processes 1 --seconds 0.1",
        90,
    ),
    "transport": Part("Transport", "transport.py", "", "--repetitions 1 --threads 1", 60),
    "head": Part(
        "The matching head in a step",
        "head.py",
        f"{CLIPS} --precision bf16 --classes 600 --compile",
        f"{SMALL} --classes 3 --repetitions 1",
        60,
    ),
    "memory": Part("Memory of the training modes", "memory.py", f"{CLIPS} --precision bf16", SMALL, 90),
    "gradient_cache": Part(
        "Gradient cache", "gradient_cache.py", "--videos 512", "--videos 4 --frames 2 --micro_batch 2", 60
    ),
    "cost_eager": Part(
        "Cost of OST, bf16 autocast, not compiled",
        "cost.py",
        f"{CLIPS} --precision bf16",
        f"{QUICK} --precision bf16",
        60,
    ),
    "fp8_eager": Part(
        "Evaluation in fp8, not compiled",
        "fp8.py",
        "--patch 16 --batch 512 --precision bf16 --clips 1",
        "--layers 1 --batch 1 --clips 1 --repetitions 1 --precision bf16",
        60,
    ),
    "variants": Part(
        "Other ways to run the towers",
        "tower_variants.py",
        "",
        "--patch 32 --layers 1 --batch 1 --repetitions 1 --backend eager",
        240,
    ),
}
"""The parts, the most important first. All but the last measure what the documentation shows."""
SHORTEST = 10
"""Seconds below which no part is begun."""


def command(part: Part, device: str) -> list[str]:
    """Returns the command line of a part."""
    options = (part.tiny if device == "cpu" else part.options).split()
    if part.script == "pytest":
        return [sys.executable, "-m", "pytest", *options]
    return [sys.executable, str(FOLDER / part.script), "--device", device, *options]


def section(part: Part, device: str, limit: float) -> str:
    """Runs a part for at most this many seconds and returns its Markdown."""
    line = command(part, device)
    shown = " ".join(["python", *line[1:]]).replace(f"{FOLDER}/", "benchmarks/")
    if limit < SHORTEST:
        return f"### {part.title}\n\n`{shown}` was left out: the time is over.\n"
    began = time.perf_counter()
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit, cwd=FOLDER.parent, check=False)  # noqa: S603
        status = "" if done.returncode == 0 else f"ended with status {done.returncode}:\n{done.stderr[-2000:]}\n"
        printed = done.stdout
    except subprocess.TimeoutExpired as late:
        status = f"stopped after {limit:.0f} s\n"
        printed = (late.stdout or b"").decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
    seconds = time.perf_counter() - began
    tables = any(row.startswith("|") for row in printed.splitlines())
    body = printed.strip() if tables else f"```text\n{printed.strip()}\n```"
    failed = f"\n\n```text\n{status}```" if status else ""
    return f"### {part.title}\n\n`{shown}` ({seconds:.0f} s)\n\n{body}{failed}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run; all by default")
    parser.add_argument("--minutes", type=float, default=8, help="time of all parts; those that don't fit are named")
    parser.add_argument("--output", type=Path, help="file for the Markdown, which is also printed")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU. To see that every part works, run it at a tiny size: --device cpu")
    end = time.perf_counter() + 60 * options.minutes
    device = platform.processor() or platform.machine()
    if options.device != "cpu":
        device = torch.cuda.get_device_name()
    written = [f"## Measured on {device}, PyTorch {torch.__version__}\n"]
    print(written[0], flush=True)
    for name in options.part:
        part = PARTS[name]
        limit = math.inf if options.device == "cpu" else part.limit
        written.append(section(part, options.device, min(limit, end - time.perf_counter())))
        print(written[-1], flush=True)
        if options.output is not None:
            options.output.write_text("\n".join(written), encoding="utf-8")


if __name__ == "__main__":
    main()
