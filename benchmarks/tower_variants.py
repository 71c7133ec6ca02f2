"""Other ways to run the towers than the suite's, each in turns with it: what a GPU gains decides what the suite adopts.

All compute the same function. The towers have fewer layers than a model's, because every variant is compiled; a ratio
is that of a layer. Each row has the share of the ceiling, the measured rate of a matrix product, and the least cosine
with the embeddings of the first row.

On a GPU: tower_variants.py --device cuda
Where there is no C++ compiler, or to see only that everything runs: --backend eager
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from cost import ceiling, operations, timed
from random_clip import save_random_clip
from torch import Tensor
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import CLIPAttention

from ost_lightning.models import VideoCLIP

Encode = Callable[[Tensor], Tensor]
LENGTHS = (12, 17, 14, 19, 15, 20, 13, 18)
"""Longest sentences of batches, in tokens."""
BUCKET = 8


class FusedAttention(CLIPAttention):
    """Attention whose queries, keys and values are one product, of views that need no copies."""

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any) -> tuple[Tensor, None]:
        parts = (self.q_proj, self.k_proj, self.v_proj)
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        product = F.linear(hidden_states, weight, bias).unflatten(-1, (3, -1, self.head_dim))
        query, key, value = product.permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(query, key, value, attention_mask, scale=self.scale)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None


class Compiler:
    """`torch.compile` with a backend; other backends than inductor have no modes."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def function(self, function: Any, mode: str | None = None, *, dynamic: bool | None = None) -> Any:
        mode = mode if self.backend == "inductor" else None
        return torch.compile(function, mode=mode, backend=self.backend, dynamic=dynamic)

    def tower(self, clip: VideoCLIP, mode: str | None = None) -> Encode:
        """Compiles pixels and tower separately, as `modes/compiled` does."""
        for module in (clip.normalization, *clip.encoder.vision_modules()):
            options = {"mode": mode} if self.backend == "inductor" else {}
            module.compile(backend=self.backend, **options)
        return clip.encode_frames


def with_one_product(clip: VideoCLIP) -> VideoCLIP:
    for layer in clip.encoder.tower("vision").layers[:-1]:  # the last one has fewer queries than keys
        layer.self_attn.__class__ = FusedAttention
    return clip


def in_bf16(clip: VideoCLIP) -> VideoCLIP:
    return clip.to(torch.bfloat16)


@dataclass(frozen=True)
class Variant:
    """A way to run the vision tower.

    Attributes:
        prepare: Function that returns how frames are embedded.
        trains: Whether gradients are measured too.
    """

    prepare: Callable[[Compiler, VideoCLIP], Encode]
    trains: bool = True


VARIANTS = {
    "not compiled": Variant(lambda compiler, clip: clip.encode_frames),
    "CUDA graphs": Variant(lambda compiler, clip: compiler.tower(clip, "reduce-overhead"), trains=False),
    "one product for q, k and v": Variant(lambda compiler, clip: compiler.tower(with_one_product(clip))),
    "pixels in the tower's graph": Variant(lambda compiler, clip: compiler.function(clip.encode_frames)),
    "bf16 weights": Variant(lambda compiler, clip: compiler.tower(in_bf16(clip)), trains=False),
    "bf16 weights, one product": Variant(
        lambda compiler, clip: compiler.tower(with_one_product(in_bf16(clip))), trains=False
    ),
    "tuned products and epilogues": Variant(
        lambda compiler, clip: compiler.tower(clip, "max-autotune-no-cudagraphs"), trains=False
    ),
}


class Measurement:
    """Model, frames and precision that all variants have in common."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options, self.folder = options, folder
        self.compiler = Compiler(options.backend)
        shape = (1, options.batch, 3, 224, 224)
        self.frames = torch.randint(0, 256, shape, dtype=torch.uint8, device=options.device)

    def model(self) -> VideoCLIP:
        return VideoCLIP(self.folder).to(self.options.device)

    def precision(self) -> torch.autocast:
        device = torch.device(self.options.device).type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.options.precision == "bf16")

    def evaluate(self, encode: Encode) -> Tensor:
        with torch.inference_mode(), self.precision():
            return encode(self.frames)

    def train(self, encode: Encode) -> None:
        with self.precision():
            embedded = encode(self.frames)
        embedded.sum().backward()

    def in_turns(self, works: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
        taken: dict[str, list[float]] = {name: [] for name in works}
        for repetition in range(self.options.repetitions + 2):
            for name, work in works.items():
                seconds = timed(work, self.options.device)
                if repetition >= 2:  # the first ones compile
                    taken[name].append(seconds)
        return taken


def row(step: str, name: str, times: list[float], base: list[float], more: str) -> None:
    ratios = [a / b for a, b in zip(base, times, strict=True)]
    middle, low, high = (1000 * value for value in (statistics.median(times), min(times), max(times)))
    ratio = "1" if times is base else f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"| {step} | {name} | {middle:.2f} ({low:.2f}, {high:.2f}) | {ratio} | {more} |", flush=True)


def compare_vision(measurement: Measurement, names: list[str]) -> None:
    usual = "as modes/compiled"
    clip = measurement.model()
    counted = {
        "evaluation": operations(lambda: measurement.evaluate(clip.encode_frames)),
        "training": operations(lambda: measurement.train(clip.encode_frames)),
    }
    peak = ceiling(measurement.options.device, measurement.options.precision)
    encode = measurement.compiler.tower(clip)
    reference = measurement.evaluate(encode)
    shown: set[str] = set()
    for name in names:
        variant = VARIANTS[name]
        other = variant.prepare(measurement.compiler, measurement.model())
        cosine = F.cosine_similarity(measurement.evaluate(other).float(), reference, dim=-1).min().item()
        steps = {"evaluation": measurement.evaluate} | ({"training": measurement.train} if variant.trains else {})
        for step, run in steps.items():
            taken = measurement.in_turns({usual: partial(run, encode), name: partial(run, other)})
            for side, close in ((usual, 1.0), (name, cosine)):
                share = 100 * counted[step] / statistics.median(taken[side]) / peak
                if side != usual or step not in shown:
                    row(step, side, taken[side], taken[usual], f"{share:.0f} % | {close:.5f}")
            shown.add(step)


def compare_text(measurement: Measurement) -> None:
    """Compares gradients of sentences whose longest ones differ from step to step."""
    usual, count = "text: not compiled", 8 * max(1, measurement.options.batch // 32)
    sides = {
        usual: (measurement.model(), None, 1),
        "text: any length": (measurement.model(), True, 1),
        f"text: lengths rounded up to {BUCKET}": (measurement.model(), False, BUCKET),
    }
    works: dict[str, Callable[[], object]] = {}
    for name, (clip, dynamic, bucket) in sides.items():
        text = clip.encoder.tower("text").backbone
        if dynamic is not None:
            text.compile(backend=measurement.compiler.backend, dynamic=dynamic)
        works[name] = partial(_train_text, measurement, clip, count, bucket)
    taken = measurement.in_turns(works)
    for name, times in taken.items():
        row("training", name, times, taken[usual], "| ")


def _train_text(measurement: Measurement, clip: VideoCLIP, count: int, bucket: int) -> None:
    end = clip.encoder.end_token
    for length in LENGTHS:
        tokens = torch.full((count, -(-length // bucket) * bucket), end)
        tokens[:, : length - 1] = 3
        with measurement.precision():
            embedded = clip.encode_tokens(tokens, torch.full((count,), length))
        embedded.sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=16, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=512, help="number of frames")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--backend", default="inductor", choices=("inductor", "eager"))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--text", action=argparse.BooleanOptionalAction, default=True, help="compare text towers too")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = 64  # one function is compiled for every variant
    print("| step | way | ms (min, max) | speed | of the ceiling | least cosine |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        measurement = Measurement(options, str(save_random_clip(options.patch, Path(folder), options.layers)))
        compare_vision(measurement, options.variants)
        if options.text:
            compare_text(measurement)


if __name__ == "__main__":
    main()
