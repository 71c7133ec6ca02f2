"""Transport plans: the suite's solver compared with a plain loop with the stopping rule of the released code.

Solves one evaluation batch of Kinetics-600: B = 16 videos, K = 600 classes, T = 32 frames, N = 4 descriptors per kind.
Prints medians and spread of interleaved repetitions, their ratio, and the distance to the converged plan. The same
follows for the problems beyond the paper, which the plain loop does not solve. On a GPU it then compares the Triton
kernel with the same iterations in PyTorch operations, for every problem.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.matching import BALANCED, TransportProblem, TransportWarning, transport_plan
from ost_lightning.matching.sinkhorn import solve_with_tensors

PROBLEMS = {
    "balanced": BALANCED,
    "order_sigma 0.2": TransportProblem(order_sigma=0.2),
    "descriptor_rho 0.3": TransportProblem(descriptor_rho=0.3),
    "mass 0.8": TransportProblem(mass=0.8),
}
AS_EXACT = 0.3
"""Tolerance at which scores are as exact as the plain loop's; the default is tighter."""


def plain_loop(cosines: Tensor, epsilon: float = 0.1, threshold: float = 1e-2, limit: int = 100) -> Tensor:
    """Solves Eq. 5 by batched matrix products; all problems stop together, when their mean change is small."""
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


def milliseconds(solve: Callable[[Tensor], object], kinds: list[Tensor]) -> float:
    """Returns the time for all kinds; on a GPU the mean of ten runs in a row."""
    in_a_row = 10 if kinds[0].is_cuda else 1
    began = time.perf_counter()
    for cosines in kinds * in_a_row:
        solve(cosines)
    if kinds[0].is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began) / in_a_row


def largest_error(plan: Tensor, exact: Tensor, cosines: Tensor) -> float:
    """Returns the largest error of a score <P, cos>."""
    return float(((plan - exact) * cosines).sum((-1, -2)).abs().max())


def spread(taken: list[float]) -> str:
    return f"{statistics.median(taken):.2f} ({min(taken):.2f}, {max(taken):.2f})"


def compare_with_kernel(kinds: list[Tensor], repetitions: int) -> None:
    """Compares the two solvers that `solve_transport` chooses from on a GPU, on the same problems."""
    from ost_lightning.matching.fused_sinkhorn import solve_fused  # needs Triton

    print("\n| problem | Triton kernel, ms (min, max) | tensors, ms (min, max) | speed | largest difference |")
    print("| --- | --- | --- | ---: | ---: |")
    views = [cosines.flatten(0, -3).permute(1, 2, 0) for cosines in kinds]
    for name, problem in PROBLEMS.items():
        sinkhorn = problem.as_sinkhorn(kinds[0], epsilon=0.1, max_iterations=100, tolerance=1e-2)
        solvers = {"Triton kernel": partial(solve_fused, sinkhorn), "tensors": partial(solve_with_tensors, sinkhorn)}
        plans = [solve(views[0]).plan for solve in solvers.values()]
        difference = largest_error(*(plan.permute(2, 0, 1) for plan in plans), views[0].permute(2, 0, 1))
        times: dict[str, list[float]] = {solver: [] for solver in solvers}
        for _ in range(repetitions):
            for solver, solve in solvers.items():
                times[solver].append(milliseconds(solve, views))
        ratio = statistics.median(times["tensors"]) / statistics.median(times["Triton kernel"])
        cells = " | ".join(spread(taken) for taken in times.values())
        print(f"| {name} | {cells} | {ratio:.2f} x | {difference:.1e} |", flush=True)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    warnings.simplefilter("ignore", TransportWarning)
    generator = torch.Generator().manual_seed(0)
    # a common direction gives cosines between 0 and 0.5, as in CLIP
    frames = normalize(torch.randn(16, 32, 256, generator=generator) + 0.6, dim=-1)
    kinds = []
    for _ in range(2):
        descriptors = normalize(torch.randn(600, 4, 256, generator=generator) + 0.6, dim=-1)
        kinds.append(torch.einsum("btd,knd->bktn", frames, descriptors).to(options.device))
    solvers: dict[str, tuple[Callable[[Tensor], Tensor], TransportProblem]] = {"plain loop": (plain_loop, BALANCED)}
    solvers["as exact"] = (lambda cosines: transport_plan(cosines, tolerance=AS_EXACT)), BALANCED
    for name, problem in PROBLEMS.items():
        solvers[name] = (lambda cosines, problem=problem: transport_plan(cosines, problem=problem)), problem
    errors = {}
    for name, (solve, problem) in solvers.items():
        exact = transport_plan(kinds[0].double(), problem=problem, tolerance=1e-9, max_iterations=10_000)
        errors[name] = largest_error(solve(kinds[0]), exact, kinds[0])
    for threads in options.threads if options.device == "cpu" else [1]:
        torch.set_num_threads(threads)
        times: dict[str, list[float]] = {name: [] for name in solvers}
        for _ in range(options.repetitions):
            for name, (solve, _) in solvers.items():
                times[name].append(milliseconds(solve, kinds))
        base = statistics.median(times["plain loop"])
        where = f"{threads} thread(s)" if options.device == "cpu" else options.device
        print(f"\n| solver, {where} | ms (min, max) | speed | largest error of a score |\n| --- | --- | ---: | ---: |")
        for name, taken in times.items():
            print(f"| {name} | {spread(taken)} | {base / statistics.median(taken):.2f} x | {errors[name]:.1e} |")
    if options.device == "cuda":
        compare_with_kernel(kinds, options.repetitions)


if __name__ == "__main__":
    main()
