"""Transport plans on a CPU: the suite's solver against a plain loop with the released code's stopping rule.

One evaluation batch of Kinetics-600: B = 16 videos, K = 600 classes, T = 32 frames, N = 4 descriptors. Prints medians
and spread of interleaved repetitions, their ratio, and how far each is from the converged plan.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.matching import transport_plan


def plain_loop(cosines: Tensor, epsilon: float = 0.1, threshold: float = 1e-2, limit: int = 100) -> Tensor:
    """Eq. 5 by batched matrix products; all problems stop together, when their mean change is small."""
    kernel = torch.exp((cosines - 1) / epsilon).flatten(0, 1)
    problems, frames, descriptors = kernel.shape
    a, b = kernel.new_ones(problems, frames, 1), kernel.new_ones(problems, descriptors, 1)
    for _ in range(limit):
        before = a
        a = (1 / frames) / (kernel @ b)
        b = (1 / descriptors) / (kernel.mT @ a)
        if float((a - before).abs().mean()) < threshold:
            break
    return (a * kernel * b.mT).view_as(cosines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    # a common direction gives cosines between 0 and 0.5, as CLIP's are
    frames = normalize(torch.randn(16, 32, 256, generator=generator) + 0.6, dim=-1)
    descriptors = normalize(torch.randn(600, 4, 256, generator=generator) + 0.6, dim=-1)
    cosines = torch.einsum("btd,knd->bktn", frames, descriptors)
    exact = transport_plan(cosines, tolerance=1e-6, max_iterations=10_000)
    solvers: dict[str, Callable[[Tensor], Tensor]] = {"plain loop": plain_loop, "transport_plan": transport_plan}
    for threads in options.threads:
        torch.set_num_threads(threads)
        times: dict[str, list[float]] = {name: [] for name in solvers}
        for _ in range(options.repetitions):
            for name, solve in solvers.items():
                began = time.perf_counter()
                solve(cosines)
                times[name].append(1000 * (time.perf_counter() - began))
        base = statistics.median(times["plain loop"])
        for name, solve in solvers.items():
            middle = statistics.median(times[name])
            error = float(((solve(cosines) - exact) * cosines).sum((-1, -2)).abs().max())
            print(
                f"{threads} thread(s)  {name:15s} median {middle:6.1f} ms "
                f"(min {min(times[name]):.1f}, max {max(times[name]):.1f})  "
                f"speed {base / middle:.2f} x plain loop  largest error of a score {error:.1e}"
            )


if __name__ == "__main__":
    main()
