"""Evaluation on a CPU: frames and sentences embedded by the layers' own `forward`, and with packed weights.

1. Processor time to embed frames with a random CLIP of ViT-B size, in turns, in fp32 and bf16, and how far the
   embeddings are from those of the layers themselves. `--compile` adds towers compiled by `torch.compile`.
2. The same for sentences of 4 descriptors of both kinds, with as many tokens as those of Kinetics-400 (12 to 24).
3. Agreement of a whole recognition: the tiny CLIP, which is trained, on videos of the rendered world.

Processor time is the same on a busy machine. A real CLIP's agreement on your own videos: `ost predict` with and without
`--cpu_precision bf16`.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from fp8 import rendered_clips
from random_clip import random_clip
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.callbacks.training.compiled_vision import compile_vision
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.models import CPUPrecision, TokenizedSentences, VideoCLIP, use_cpu_precision
from ost_lightning.recognition import load_trained_model
from ost_lightning.toyworld.dataset import label_space

OWN, COMPILED = "the layers' own, fp32", "compiled, frozen weights"
SIDES: dict[str, CPUPrecision] = {OWN: "fp32", "packed, fp32": "fp32", "packed, bf16": "bf16"}
COMPILED_SIDES: dict[str, CPUPrecision] = {f"{COMPILED}, fp32": "fp32", f"{COMPILED}, bf16": "bf16"}
LENGTHS = (9, 14.8, 2.3, 24)
"""Least, mean, standard deviation and most of the tokens of a sentence."""


def compare_frames(patch: int, batch: int, options: argparse.Namespace) -> None:
    """Prints how long it takes to embed the frames of clips in several ways."""
    sides = SIDES | (COMPILED_SIDES if options.compile else {})
    clips = {name: random_clip(patch, "cpu").eval() for name in sides}
    for name, clip in clips.items():
        clip.load_state_dict(clips[OWN].state_dict())
        use_cpu_precision(clip.encoder, sides[name], torch.device("cpu"))
        if name in COMPILED_SIDES:
            compile_vision(clip)
    # layers with a hook run by themselves
    clips[OWN].encoder.model.vision_model.encoder.layers[0].register_forward_hook(lambda *_: None)
    pixels = torch.randint(0, 256, (batch, options.frames, 3, 224, 224), dtype=torch.uint8)
    ways = {name: partial(clip.encode_frames, pixels) for name, clip in clips.items()}
    compare(f"ViT-B/{patch}, {batch * options.frames} frames", ways, options.repetitions)


def compare_sentences(options: argparse.Namespace) -> None:
    """Prints how long it takes to embed the sentences of some classes in two ways."""
    own, packed = (random_clip(32, "cpu").eval() for _ in range(2))
    packed.load_state_dict(own.state_dict())
    own.encoder.model.text_model.encoder.layers[0].register_forward_hook(lambda *_: None)
    least, mean, deviation, most = LENGTHS
    lengths = (mean + deviation * torch.randn(options.classes, 4)).round().clamp(least, most).long()
    tokens = torch.randint(3, own.encoder.model.config.text_config.vocab_size, (options.classes, 4, int(most)))
    ended = torch.arange(most) >= lengths[..., None] - 1
    tokens[ended] = own.encoder.end_token
    sentences = TokenizedSentences(
        dict.fromkeys(("spatio", "temporal"), tokens), dict.fromkeys(("spatio", "temporal"), lengths)
    )

    def embedded(clip: VideoCLIP) -> Tensor:
        return torch.cat([rows.flatten(0, 1) for rows in clip.encode_sentences(sentences).values()])

    ways = {OWN: partial(embedded, own), "packed, fp32": partial(embedded, packed)}
    compare(f"ViT-B, {8 * options.classes} sentences", ways, options.repetitions)


def compare(title: str, ways: Mapping[str, Callable[[], Tensor]], repetitions: int) -> None:
    """Times several ways to compute the same embeddings in turns, and prints a table."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    first: dict[str, float] = {}
    embedded: dict[str, Tensor] = {}
    for repetition in range(repetitions + 1):
        for name, embed_them in ways.items():
            began = processor_time()
            embedded[name] = embed_them()
            if repetition >= 1:
                taken[name].append(processor_time() - began)
            else:  # weights are packed, towers compiled
                first[name] = processor_time() - began
    print(f"\n| {title} | ms (min, max) | speed | largest difference | least cosine | packing, compiling |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, times in taken.items():
        middle, low, high = (1000 * value for value in (statistics.median(times), min(times), max(times)))
        ratios = [own / other for own, other in zip(taken[OWN], times, strict=True)]
        speed = "1" if name == OWN else f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        difference = (embedded[name] - embedded[OWN]).abs().max().item()
        cosine = F.cosine_similarity(embedded[name], embedded[OWN], dim=-1).min().item()
        before = "" if name == OWN else f"{max(0.0, first[name] - middle / 1000):.1f} s"
        print(
            f"| {name} | {middle:,.0f} ({low:,.0f}, {high:,.0f}) | {speed} | {difference:.0e} | {cosine:.6f} "
            f"| {before} |",
            flush=True,
        )


def processor_time() -> float:
    """Returns the processor time of this process and of the compilers that it waited for, in seconds."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


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


def use_inductor() -> None:
    """Has `torch.compile` pack weights, and compile everything within this process and processes that it waits for."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise SystemExit("--compile needs a C++ compiler, such as g++, which torch.compile calls on a CPU.")
    import torch._inductor.config as inductor

    inductor.freezing = True  # weights become constants, because they don't change here
    # compiled kernels would be found in the cache, and their time would not be that of compilation
    inductor.force_disable_caches = True
    inductor.compile_threads = 1


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, nargs="*", default=[32, 16], choices=(16, 32))
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="numbers of clips")
    parser.add_argument("--classes", type=int, default=80, help="classes with 8 sentences each; 0 for no sentences")
    parser.add_argument("--compile", action="store_true", help="also compile the tower, with Inductor's freezing")
    parser.add_argument("--clips", type=int, default=10, help="rendered videos per class; 0 for no recognition")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    if options.compile:
        use_inductor()
    torch.manual_seed(0)
    for patch in options.patch:
        for batch in options.batch:
            compare_frames(patch, batch, options)
    if options.classes:
        compare_sentences(options)
    if options.clips:
        compare_recognition(options.clips)


if __name__ == "__main__":
    main()
