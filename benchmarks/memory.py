"""Peak memory and time of one training step in each training mode, with a random CLIP of ViT-B size.

Every mode runs in a separate process. On a CPU the peak is the resident set minus that after the imports, including
AdamW's state. On a GPU it is the memory that PyTorch has allocated:
memory.py --device cuda --patch 16 --frames 32 --precision bf16
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext

import torch
from gradient_cache import PLAIN_MALLOC
from random_clip import random_clip, random_sentences

from ost_lightning.matching import OptimalDescriptorSolver, symmetric_kl
from ost_lightning.models import LoRA
from ost_lightning.models.lora import add_adapters

WAYS = ("everything", "frozen text", "frozen vision", "LoRA", "checkpointing", "checkpointing + bf16")


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def step(way: str, options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    before = resident()
    clip = random_clip(
        options.patch,
        options.device,
        freeze_text=way == "frozen text",
        freeze_vision=way == "frozen vision",
        gradient_checkpointing=way.startswith("checkpointing"),
    )
    if way == "LoRA":
        add_adapters(clip.encoder, LoRA())
        clip.to(options.device)
    trained = [parameter for parameter in clip.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=options.device != "cpu")
    solver = OptimalDescriptorSolver().to(options.device)
    frames = torch.randint(
        0, 256, (options.batch, options.frames, 3, 224, 224), dtype=torch.uint8, device=options.device
    )
    sentences = random_sentences(clip, solver.kinds, options.batch, 20)
    bf16 = options.precision == "bf16" or "bf16" in way
    precision = torch.autocast(torch.device(options.device).type, torch.bfloat16) if bf16 else nullcontext()
    taken = []
    for _ in range(3 if options.device == "cpu" else 6):
        began = time.perf_counter()
        with precision:
            texts = clip.encode_sentences(sentences)
            scores = solver(clip.encode_frames(frames), *(texts[kind] for kind in solver.kinds))
            loss = symmetric_kl(clip.similarity_to_logits(scores), torch.arange(options.batch, device=options.device))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if options.device != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    peak = resident() - before if options.device == "cpu" else torch.cuda.max_memory_allocated() / 2**30
    count = sum(parameter.numel() for parameter in trained) / 1e6
    print(f"| {way} | {count:.1f} | {peak:.2f} | {statistics.median(taken[1:]):.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="precision of all modes")
    parser.add_argument("--way", choices=WAYS, help="run only this mode, in this process")
    options = parser.parse_args()
    if options.way:
        step(options.way, options)
        return
    print(
        "| training mode | trained weights, M | peak, GiB | step, s |\n| --- | ---: | ---: | ---: |",
        flush=True,
    )
    for way in WAYS if options.precision == "fp32" else WAYS[:-1]:
        subprocess.run([sys.executable, *sys.argv, f"--way={way}"], check=True, env={**os.environ, **PLAIN_MALLOC})  # noqa: S603


if __name__ == "__main__":
    main()
