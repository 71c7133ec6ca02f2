"""Evaluation on a CPU: frames embedded by the layers' own `forward`, with packed weights, and with these in bf16.

1. Processor time to embed frames with a random CLIP of ViT-B size, in turns, and how far the embeddings are from those
   of the layers themselves.
2. Agreement of a whole recognition: the tiny CLIP, which is trained, on videos of the rendered world.

Processor time is the same on a busy machine. A real CLIP's agreement on your own videos: `ost predict` with and without
`--cpu_precision bf16`.
"""

import argparse
import statistics
import time

import torch
from fp8 import rendered_clips
from random_clip import random_clip
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.evaluation import embed, probabilities
from ost_lightning.models import CPUPrecision, use_cpu_precision
from ost_lightning.recognition import load_trained_model
from ost_lightning.toyworld.dataset import label_space

OWN = "the layers' own, fp32"
SIDES: dict[str, CPUPrecision] = {OWN: "fp32", "packed, fp32": "fp32", "packed, bf16": "bf16"}


def compare_towers(patch: int, frames: int, repetitions: int) -> None:
    clips = dict(zip(SIDES, (random_clip(patch, "cpu").eval() for _ in SIDES), strict=True))
    for name, clip in clips.items():
        clip.load_state_dict(clips[OWN].state_dict())
        use_cpu_precision(clip.encoder, SIDES[name], torch.device("cpu"))
    # layers with a hook run by themselves
    clips[OWN].encoder.model.vision_model.encoder.layers[0].register_forward_hook(lambda *_: None)
    pixels = torch.randint(0, 256, (1, frames, 3, 224, 224), dtype=torch.uint8)
    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    embedded: dict[str, Tensor] = {}
    for repetition in range(repetitions + 1):
        for name, clip in clips.items():
            began = time.process_time()
            embedded[name] = clip.encode_frames(pixels)
            if repetition >= 1:  # the first one packs the weights
                taken[name].append(time.process_time() - began)
    print(f"| ViT-B/{patch}, {frames} frames | ms (min, max) | speed | largest difference | least cosine |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name, times in taken.items():
        middle, low, high = (1000 * value for value in (statistics.median(times), min(times), max(times)))
        ratios = [own / other for own, other in zip(taken[OWN], times, strict=True)]
        speed = "1" if name == OWN else f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        difference = (embedded[name] - embedded[OWN]).abs().max().item()
        cosine = F.cosine_similarity(embedded[name], embedded[OWN], dim=-1).min().item()
        print(f"| {name} | {middle:.0f} ({low:.0f}, {high:.0f}) | {speed} | {difference:.0e} | {cosine:.6f} |")


def compare_recognition(clips_per_class: int) -> None:
    labels, clips = label_space(0, "unseen"), rendered_clips(clips_per_class)
    model = load_trained_model("tiny")
    clip = model.video_clip.eval()
    sentences = model.templates.apply(labels, model.matcher.kinds, model.descriptors_per_class, clip.token_count)
    texts = clip.encode_sentences(clip.tokenize(sentences))
    found: dict[str, Tensor] = {}
    precisions: tuple[CPUPrecision, ...] = ("fp32", "bf16")
    for precision in precisions:
        use_cpu_precision(clip.encoder, precision, torch.device("cpu"))
        found[precision] = probabilities(clip, model.matcher, texts, embed(clip, clips))
    truth = torch.arange(len(clips)) % len(labels)
    top1 = {name: 100 * (scores.argmax(-1) == truth).float().mean().item() for name, scores in found.items()}
    exact, lower = found["fp32"], found["bf16"]
    first = 100 * (exact.argmax(-1) == lower.argmax(-1)).float().mean().item()
    sets = [scores.topk(5).indices.sort().values for scores in (exact, lower)]
    fifth = 100 * (sets[0] == sets[1]).all(-1).float().mean().item()
    print(f"\n| tiny CLIP, {len(clips)} rendered videos, {len(labels)} classes | fp32 | bf16 |")
    print("| --- | ---: | ---: |")
    print(f"| top-1 accuracy | {top1['fp32']:.1f} % | {top1['bf16']:.1f} % |")
    print(f"| same top-1 as fp32 | | {first:.1f} % |")
    print(f"| same five likeliest classes | | {fifth:.1f} % |")
    print(f"| largest difference of a probability | | {(exact - lower).abs().max().item():.3f} |")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, nargs="*", default=[32, 16], choices=(16, 32))
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--clips", type=int, default=10, help="rendered videos per class; 0 for no recognition")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    for patch in options.patch:
        compare_towers(patch, options.frames, options.repetitions)
    if options.clips:
        compare_recognition(options.clips)


if __name__ == "__main__":
    main()
