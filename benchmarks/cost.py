"""Table 5 of the paper: cost of OST compared with the category-name baseline, both in one run.

A training step embeds the clips and the sentences of their classes, matches them, and updates all weights. Inference
embeds clips and matches them with K classes whose sentences are already encoded. Repetitions are interleaved; medians
and spread are printed, as Markdown. Utilization is the share of the ceiling, the measured rate of a matrix product. It
is given for the operations performed, and for those of a complete CLIP: the suite computes the last layer only for the
class token. Loading is measured separately, to show which side is slower.

On a GPU: cost.py --device cuda --patch 16 --frames 32 --batch 16 --precision bf16 --compile
On a CPU: cost.py (B/32, 8 frames)

With --ingredients, OST is compared with OST and one ingredient each (ingredient_cost.py), as a Markdown table:
cost.py --ingredients --batch 2
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from film_clips import Film, make
from ingredient_cost import MEASURED, OST, compare
from random_clip import random_sentences, save_random_clip
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ost_lightning.callbacks.training.compiled_vision import compile_vision
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.models.encoders.clip import as_class_token_layer
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.video import FrameSampler, read_frames

LENGTH = 20
IN_A_ROW = 5


class Side:
    """One mechanism with its model and optimizer."""

    def __init__(self, matcher: Matcher, options: argparse.Namespace) -> None:
        self.options = options
        with tempfile.TemporaryDirectory() as folder:
            weights = str(save_random_clip(options.patch, Path(folder), options.layers))
            self.clip = VideoCLIP(weights, gradient_checkpointing=options.gradient_checkpointing).to(options.device)
            self.task = ContrastiveRecognition(self.clip, matcher).to(options.device)
        if options.precision == "bf16-true":
            self.clip.to(torch.bfloat16)
        fused = options.device != "cpu"
        self.optimizer = torch.optim.AdamW(self.task.parameters(), lr=1e-6, fused=fused)
        shape = (options.batch, 1, options.frames, 3, 224, 224)
        self.clips = torch.randint(0, 256, shape, dtype=torch.uint8, device=options.device)
        self.sentences = random_sentences(self.clip, matcher.kinds, options.batch, LENGTH)
        self.labels = torch.arange(options.batch)
        with torch.no_grad(), self._precision():
            self.texts = self.clip.encode_sentences(random_sentences(self.clip, matcher.kinds, options.classes, LENGTH))

    def compile(self) -> None:
        """Compiles what the callback `CompiledVision` does."""
        compile_vision(self.clip)

    def train(self) -> None:
        with self._precision():
            loss = self.task.loss([self.clips], [self.labels], self.sentences)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.inference_mode()
    def infer(self) -> Tensor:
        with self._precision():
            return probabilities(self.clip, self.task.matcher, self.texts, embed(self.clip, self.clips))

    def _precision(self) -> torch.autocast:
        device = torch.device(self.options.device).type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.options.precision == "bf16")


SIDES = {"category name": CategoryName, "OD Solver": OptimalDescriptorSolver}


def timed(work: Callable[[], object], device: str) -> float:
    """Returns seconds; on a GPU the mean of several calls without synchronization in between, as in a run."""
    if device == "cpu":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(IN_A_ROW):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / IN_A_ROW


def ceiling(device: str, precision: str) -> float:
    """Returns the measured floating-point operations per second of a large matrix product."""
    size = 8192 if device != "cpu" else 2048
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    taken = [timed(lambda: a @ b, device) for _ in range(8)][2:]
    return 2 * size**3 / statistics.median(taken)


def operations(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def skipped_operations(clip: VideoCLIP, frames: int, backward: bool) -> int:
    """Counts the operations of CLIP's last vision layer that the suite skips, without running them."""
    embeddings = clip.encoder.model.vision_model.embeddings
    with torch.device("meta"):
        complete = CLIPEncoderLayer(clip.encoder.tower("vision").layers[-1].self_attn.config)
        tokens = torch.empty(frames, embeddings.num_positions, embeddings.embed_dim, requires_grad=True)

    def work(layer: CLIPEncoderLayer) -> None:
        output = layer(tokens, None)
        if backward:
            output.sum().backward()

    return operations(lambda: work(complete)) - operations(lambda: work(as_class_token_layer(complete)))


def videos_per_second_and_core(frames: int) -> float:
    """Measures sparse reading of a Kinetics-like clip: 10 s, 340 x 256, 30 frames per second, GOP 250."""
    with tempfile.TemporaryDirectory() as folder:
        file = make(Film(340, 256, 250, 0), Path(folder))
        indices = FrameSampler(frames).middle(300)[0]
        taken = [timed(lambda: read_frames(file, indices), "cpu") for _ in range(9)][1:]
    return 1 / statistics.median(taken)


def spread(values: list[float]) -> str:
    return f"{1000 * statistics.median(values):.1f} ({1000 * min(values):.1f}, {1000 * max(values):.1f})"


def report(
    name: str,
    works: dict[str, Callable[[], object]],
    counted: dict[str, int],
    skipped: int,
    options: argparse.Namespace,
    peak: float,
) -> None:
    taken: dict[str, list[float]] = {side: [] for side in works}
    memory = {}
    for repetition in range(-options.warm_up, options.repetitions):
        for side, work in works.items():
            if options.device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            seconds = timed(work, options.device)
            if repetition >= 0:
                taken[side].append(seconds)
            if options.device != "cpu":
                memory[side] = torch.cuda.max_memory_allocated() / 2**30
    first = next(iter(works))
    base = statistics.median(taken[first])
    for side in works:
        middle = statistics.median(taken[side])
        done, defined = (100 * count / middle / peak for count in (counted[side], counted[side] + skipped))
        cells = [name, side, spread(taken[side]), f"{options.batch / middle:.2f}", f"{middle / base:.3f}"]
        cells += [f"{counted[side] / counted[first]:.3f}", f"{done:.1f} %; {defined:.1f} %"]
        cells += [f"{memory[side]:.1f} GiB"] if memory else []
        print(f"| {' | '.join(cells)} |", flush=True)


def print_header(options: argparse.Namespace) -> None:
    """Begins the table; the share of the ceiling is that of operations done, and of those of a complete CLIP."""
    names = ["step", "model", "ms (min, max)", "videos/s", "time, ratio", "operations, ratio", "of the ceiling; CLIP's"]
    names += ["peak, all models"] if options.device != "cpu" else []
    print(f"| {' | '.join(names)} |\n|{' --- |' * 3}{' ---: |' * (len(names) - 3)}", flush=True)


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, default=32, choices=(16, 32))
    parser.add_argument("--layers", type=int, default=12, help="layers of each tower")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--warm_up", type=int, default=2, help="repetitions that are not measured")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "bf16-true"))
    parser.add_argument("--gradient_checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true", help="compile the vision tower, as modes/compiled does")
    parser.add_argument(
        "--ingredients",
        nargs="*",
        choices=[name for name in MEASURED if name != OST],
        help="compare OST with OST and one ingredient each: all, or those that are named",
    )
    parser.add_argument(
        "--pretrained", help="model of --ingredients, such as tiny; by default, ViT-B with random weights"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.ingredients is not None:
        compare(options)
        return
    peak = ceiling(options.device, options.precision)
    print(f"ceiling of a matrix product ({options.precision}, {options.device}): {peak / 1e12:.2f} TFLOP/s  ")
    sides = {name: Side(matcher(), options) for name, matcher in SIDES.items()}
    for name, side in sides.items():
        print(f"{name}: {sum(parameter.numel() for parameter in side.clip.parameters()) / 1e6:.1f} M parameters  ")
    works: dict[str, dict[str, Callable[[], object]]] = {
        "training": {name: side.train for name, side in sides.items()},
        "evaluation": {name: side.infer for name, side in sides.items()},
    }
    if options.precision == "bf16-true":
        del works["training"]  # 16-bit weights can't represent small updates
    # operations of compiled code can't be counted
    counted = {phase: {name: operations(work) for name, work in both.items()} for phase, both in works.items()}
    if options.compile:
        for side in sides.values():
            side.compile()
    print()
    print_header(options)
    for phase, both in works.items():
        skipped = skipped_operations(sides["OD Solver"].clip, options.batch * options.frames, phase == "training")
        report(phase, both, counted[phase], skipped, options, peak)
    print()
    if options.device == "cpu":
        print(f"peak memory of the process, all models: {resident():.1f} GiB")
    print(f"loading: {videos_per_second_and_core(options.frames):.1f} videos/s per core, {options.frames} frames each")


if __name__ == "__main__":
    main()
