"""Evaluation with the vision tower's linear layers in fp8, compared with the usual precision, in turns.

1. Time to embed frames with a random CLIP of ViT-B size, and how far the embeddings are from those of the usual
   precision and from fp32.
2. Agreement of a whole recognition: the tiny CLIP, which is trained, on videos of the rendered world.

A real CLIP's agreement on your own videos: `ost predict` with and without `--config modes/fp8`.
On a GPU: fp8.py --device cuda --patch 16 --batch 512 --precision bf16 --compile
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from cost import timed
from random_clip import save_random_clip
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.callbacks.training.compiled_vision import compile_vision
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition import load_trained_model
from ost_lightning.toyworld.clips import render_clip
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes

FRAMES = 8


def precision(options: argparse.Namespace) -> torch.autocast:
    return torch.autocast(torch.device(options.device).type, torch.bfloat16, enabled=options.precision == "bf16")


def compare_towers(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights = str(save_random_clip(options.patch, Path(folder), options.layers))
        sides = {name: VideoCLIP(weights).eval().to(options.device) for name in (options.precision, "fp8")}
    sides["fp8"].encoder.use_fp8([torch.device(options.device)])
    frames = torch.randint(0, 256, (1, options.batch, 3, 224, 224), dtype=torch.uint8, device=options.device)
    exact = sides[options.precision].encode_frames(frames)
    if options.compile:
        for clip in sides.values():
            compile_vision(clip)

    def encode(name: str) -> Tensor:
        with precision(options):
            return sides[name].encode_frames(frames)

    embedded = {name: encode(name) for name in sides}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(options.repetitions + 2):
        for name in sides:
            seconds = timed(partial(encode, name), options.device)
            if repetition >= 2:  # the first ones warm up
                taken[name].append(seconds)
    ratios = [a / b for a, b in zip(taken[options.precision], taken["fp8"], strict=True)]
    print(f"| ViT-B/{options.patch}, {options.batch} frames | ms (min, max) | speed | least cosine with fp32 |")
    print("| --- | --- | ---: | ---: |")
    for name, times in taken.items():
        middle, low, high = (1000 * value for value in (statistics.median(times), min(times), max(times)))
        speed = "1" if name != "fp8" else f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        cosine = F.cosine_similarity(embedded[name], exact, dim=-1).min().item()
        print(f"| {name} | {middle:.1f} ({low:.1f}, {high:.1f}) | {speed} | {cosine:.5f} |")


def rendered_clips(clips_per_class: int) -> Tensor:
    """Returns videos of all unseen classes, uint8 (B, 1, T, 3, 48, 48)."""
    actions = draw_classes(0)["unseen"]
    videos = np.stack([render_clip(action, str(k)) for k in range(clips_per_class) for action in actions])
    side = (videos.shape[2] - 48) // 2
    clips = torch.from_numpy(videos[:, :: videos.shape[1] // FRAMES, side : side + 48, side : side + 48])
    return clips[:, :FRAMES].movedim(-1, -3)[:, None]


def compare_recognition(options: argparse.Namespace) -> None:
    labels, clips = label_space(0, "unseen"), rendered_clips(options.clips).to(options.device)
    found = {}
    for name in (options.precision, "fp8"):
        model = load_trained_model("tiny", fp8_on=[torch.device(options.device)] if name == "fp8" else ())
        clip, matcher = model.video_clip.eval().to(options.device), model.matcher.to(options.device)
        sentences = model.templates.apply(labels, matcher.kinds, model.descriptors_per_class, clip.token_count)
        with precision(options):
            texts = clip.encode_sentences(clip.tokenize(sentences))
            found[name] = probabilities(clip, matcher, texts, embed(clip, clips))
    truth = torch.arange(len(clips), device=options.device) % len(labels)
    usual, fp8 = found[options.precision], found["fp8"]
    top1 = {name: 100 * (scores.argmax(-1) == truth).float().mean().item() for name, scores in found.items()}
    equal = 100 * (usual.argmax(-1) == fp8.argmax(-1)).float().mean().item()
    print(f"\n| tiny CLIP, {len(clips)} rendered videos, {len(labels)} classes | {options.precision} | fp8 |")
    print("| --- | ---: | ---: |")
    print(f"| top-1 accuracy | {top1[options.precision]:.1f} % | {top1['fp8']:.1f} % |")
    print(f"| same top-1 as {options.precision} | | {equal:.1f} % |")
    print(f"| largest difference of a probability | | {(usual - fp8).abs().max().item():.3f} |")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=12, help="layers of each tower")
    parser.add_argument("--batch", type=int, default=8, help="number of frames")
    parser.add_argument("--clips", type=int, default=10, help="rendered videos per class")
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="the usual precision")
    parser.add_argument("--compile", action="store_true", help="compile both, as modes/compiled does")
    options = parser.parse_args()
    torch.manual_seed(0)
    compare_towers(options)
    compare_recognition(options)


if __name__ == "__main__":
    main()
