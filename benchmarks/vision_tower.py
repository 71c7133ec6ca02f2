"""Embedding frames: the suite's encoder compared with the Hugging Face `CLIPModel` with the same weights, in turns.

The suite's encoder skips the patch outputs of the last layer, which are unused. It embeds patches by a matrix product
on a GPU, and packs weights in evaluation on a CPU. Measures the forward pass, alone and with the gradients of all
weights, which are random. Times on a CPU are processor time, which is the same on a busy machine. Prints medians
(min, max), and the median of the ratios within a repetition, as Markdown.

On a GPU: vision_tower.py --device cuda --batch 512 --precision bf16 [--compile]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from cost import timed
from random_clip import random_clip
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=16, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=12, help="layers of each tower")
    parser.add_argument("--batch", type=int, default=8, help="number of frames")
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--forward", action="store_true", help="measure no gradients")
    options = parser.parse_args()
    torch.manual_seed(0)
    ours = random_clip(options.patch, options.device, options.layers)
    with tempfile.TemporaryDirectory() as folder:
        ours.save_pretrained(Path(folder))
        theirs = CLIPModel.from_pretrained(folder).train().to(options.device)
    frames = torch.randint(0, 256, (1, options.batch, 3, 224, 224), dtype=torch.uint8, device=options.device)
    if options.compile:
        for model in (ours.encoder.model, theirs):
            model.vision_model.compile()
        ours.normalization.compile()

    def by_transformers() -> Tensor:
        features = theirs.get_image_features(pixel_values=ours.normalization(frames[0])).pooler_output
        return F.normalize(features.float(), dim=-1)

    def forward(encode: Callable[[], Tensor]) -> None:
        with torch.inference_mode(), precision():
            encode()

    def training(encode: Callable[[], Tensor]) -> None:
        with precision():
            embedded = encode()
        embedded.sum().backward()
        for model in (ours, theirs):
            model.zero_grad()

    def precision() -> torch.autocast:
        device = torch.device(options.device).type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=options.precision == "bf16")

    sides: dict[str, Callable[[], Tensor]] = {
        "transformers": by_transformers,
        "ost_lightning": lambda: ours.encode_frames(frames)[0],
    }
    with torch.inference_mode(), precision():
        difference = (sides["transformers"]() - sides["ost_lightning"]()).abs().max().item()
    print(f"Largest difference of an embedding: {difference:.1e}\n")
    print(f"| ViT-B/{options.patch}, {options.batch} frames, {options.precision} | {' | '.join(sides)} | speed |")
    print("| --- | --- | --- | ---: |")
    steps = (("forward", forward), ("with gradients", training))
    for name, step in steps[:1] if options.forward else steps:
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for repetition in range(options.repetitions + 2):
            for side, encode in sides.items():
                seconds = taken_by(partial(step, encode), options.device)
                if repetition >= 2:  # the first ones warm up
                    taken[side].append(seconds)
        cells = [
            f"{1000 * statistics.median(times):.1f} ms ({1000 * min(times):.1f}, {1000 * max(times):.1f})"
            for times in taken.values()
        ]
        ratios = [a / b for a, b in zip(taken["transformers"], taken["ost_lightning"], strict=True)]
        cells.append(f"{statistics.median(ratios):.3f} x ({min(ratios):.3f} to {max(ratios):.3f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def taken_by(work: Callable[[], object], device: str) -> float:
    """Returns seconds; on a CPU, of processor time."""
    if device != "cpu":
        return timed(work, device)
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
