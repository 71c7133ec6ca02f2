"""Peak memory and time of one training step in each training mode, with a random CLIP of ViT-B size.

Every mode runs in a process of its own. On a CPU the peak is the resident set minus that after the imports, including
AdamW's state. On a GPU it is the memory that PyTorch has allocated:
memory.py --device cuda --patch 16 --frames 32 --precision bf16
"""

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
from own_process import PeakMemory, in_own_process
from random_clip import random_clip, random_sentences

from ost_lightning.matching import OptimalDescriptorSolver, symmetric_kl
from ost_lightning.models import LoRA
from ost_lightning.models.lora import add_adapters

WAYS = ("everything", "frozen text", "frozen vision", "LoRA", "checkpointing", "checkpointing + bf16")


def measure(way: str, options: argparse.Namespace) -> str:
    """Returns a row of the table, measured in this process."""
    torch.manual_seed(0)
    memory = PeakMemory(options.device)
    clip = random_clip(
        options.patch,
        options.device,
        options.layers,
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
    count = sum(parameter.numel() for parameter in trained) / 1e6
    return f"| {way} | {count:.1f} | {memory.read():.2f} | {statistics.median(taken[1:]):.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=12, help="layers of each tower")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="precision of all modes")
    options = parser.parse_args()
    print("| training mode | trained weights, M | peak, GiB | step, s |\n| --- | ---: | ---: | ---: |", flush=True)
    for way in WAYS if options.precision == "fp32" else WAYS[:-1]:
        print(in_own_process(measure, way, options), flush=True)


if __name__ == "__main__":
    main()
