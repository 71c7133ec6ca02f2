"""Cost of matching and of text in an evaluation of OST, with a random CLIP of ViT-B size.

1. The head's share of an evaluation step: frames are encoded, then matched with K = 160 classes of both kinds.
2. Time per video with the text encoded once per evaluation, compared with a loop that encodes all 2 x N x K sentences
   for every two videos: padded to CLIP's 77 positions as in the released code, and without padding.

Sentences are 20 random tokens, which is long for the 10 to 14 words of Kinetics' sentences. Weights are random, so
nothing is downloaded, and take the same time as trained ones. The head matches vectors with cosines like those of
trained weights, since random weights give problems that converge immediately.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from random_clip import random_clip, random_sentences
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.callbacks.training.compiled_vision import compile_vision
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP

POSITIONS = 77
VIDEOS_PER_STEP = 2


def precision(options: argparse.Namespace) -> torch.autocast:
    return torch.autocast(torch.device(options.device).type, dtype=torch.bfloat16, enabled=options.precision == "bf16")


def like_clip(*shape: int) -> Tensor:
    """Returns unit vectors with cosines between 0 and 0.5, as those of a trained CLIP."""
    return F.normalize(torch.randn(*shape) + 0.6, dim=-1)


def seconds(work: Callable[[], object], repetitions: int, device: str) -> list[float]:
    """Returns times of the work; on a GPU means of ten calls without synchronization in between."""
    taken, in_a_row = [], 1 if device == "cpu" else 10
    for _ in range(repetitions + 1):
        began = time.perf_counter()
        for _ in range(in_a_row):
            work()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append((time.perf_counter() - began) / in_a_row)
    return taken[1:]  # the first one warms up


def spread(taken: list[float]) -> str:
    return f"{1000 * statistics.median(taken):.1f} ms (min {1000 * min(taken):.1f}, max {1000 * max(taken):.1f})"


def report_share(clip: VideoCLIP, solver: OptimalDescriptorSolver, options: argparse.Namespace) -> None:
    frames = torch.randint(
        0, 256, (options.batch, options.frames, 3, 224, 224), dtype=torch.uint8, device=options.device
    )
    width = clip.embedding_dim
    embedded = like_clip(options.batch, options.frames, width).to(options.device)
    texts = [like_clip(options.classes, 4, width).to(options.device) for _ in solver.kinds]
    with precision(options):
        encoding = seconds(lambda: clip.encode_frames(frames), options.repetitions, options.device)
    matching = seconds(lambda: solver(embedded, *texts), 5 * options.repetitions, options.device)
    share = statistics.median(matching) / (statistics.median(encoding) + statistics.median(matching))
    print(
        f"step of {options.batch} videos x {options.frames} frames, K = {options.classes}: frames {spread(encoding)}, "
        f"head {spread(matching)}: the head is {100 * share:.2f} % of the step",
        flush=True,
    )


def report_text(clip: VideoCLIP, solver: OptimalDescriptorSolver, options: argparse.Namespace) -> None:
    frames = torch.randint(
        0, 256, (VIDEOS_PER_STEP, options.frames, 3, 224, 224), dtype=torch.uint8, device=options.device
    )
    with precision(options):
        texts = list(clip.encode_sentences(random_sentences(clip, solver.kinds, options.classes, 3)).values())
        step = seconds(lambda: solver(clip.encode_frames(frames), *texts), options.repetitions, options.device)
    costs = {}
    for name, length in (("padded to 77", POSITIONS), (f"of {options.tokens} tokens", options.tokens)):
        tokens = random_sentences(clip, solver.kinds, options.classes, length)
        with precision(options):
            costs[name] = seconds(
                lambda tokens=tokens: clip.encode_sentences(tokens), options.text_repetitions, options.device
            )
        print(f"{8 * options.classes} sentences {name}: {spread(costs[name])}", flush=True)
    print(f"step of {VIDEOS_PER_STEP} videos without text: {spread(step)}")
    video = statistics.median(step) / VIDEOS_PER_STEP
    once = statistics.median(costs[f"of {options.tokens} tokens"]) / options.videos + video
    for name, taken in costs.items():
        again = statistics.median(taken) / VIDEOS_PER_STEP + video
        print(
            f"time per video in an evaluation of {options.videos}: {1000 * once:.1f} ms with the text encoded once, "
            f"{1000 * again:.1f} ms with sentences {name} encoded every {VIDEOS_PER_STEP} videos: {again / once:.1f} x"
        )


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=32, help="32 or 16: ViT-B/32 or ViT-B/16")
    parser.add_argument("--layers", type=int, default=12, help="layers of each tower")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="precision of the towers")
    parser.add_argument("--compile", action="store_true", help="compile the vision tower, as modes/compiled does")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--classes", type=int, default=160)
    parser.add_argument("--batch", type=int, default=8, help="videos per evaluation step whose head is timed")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument(
        "--videos", type=int, default=14_084, help="videos of the evaluation; default: split 1 of Kinetics-600"
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--text-repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clip = random_clip(options.patch, options.device, options.layers).eval()
    solver = OptimalDescriptorSolver().to(options.device)
    if options.compile:
        compile_vision(clip)
    where = options.device if options.device != "cpu" else f"cpu, {options.threads} thread(s)"
    print(f"ViT-B/{options.patch}, random weights, {options.precision}, {where}")
    report_share(clip, solver, options)
    report_text(clip, solver, options)


if __name__ == "__main__":
    main()
