"""Solves small problems with the GPU kernel in Triton's interpreter on a CPU, and with tensors in the log domain.

Runs in a separate process with TRITON_INTERPRET=1, which Triton reads on import. Prints one line of JSON per problem.
With the argument `every`, all cases have all shapes.
"""

import json
import sys

import torch

from ost_lightning.matching.fused_sinkhorn import fits, solve_fused
from ost_lightning.matching.scaling_domains import log_kernel
from ost_lightning.matching.sinkhorn import solve_in_log_domain
from ost_lightning.matching.sinkhorn_problem import Marginals, SinkhornProblem

SHAPES = ((5, 3, 6), (8, 4, 19), (1, 1, 2), (1, 3, 2), (6, 1, 2))
DEGENERATE = {"balanced", "relaxed order", "partial"}
"""Cases that are also run with a single frame or descriptor; the other cases would be redundant there."""
SEVERAL_BLOCKS = {"stopped early", "partial"}
"""Cases whose problems differ in what they need; in the short run, only these fill several blocks."""
ITERATIONS = 24


def chosen(name: str, frames: int, descriptors: int, problems: int, *, every: bool) -> bool:
    if 1 in (frames, descriptors):
        return name in DEGENERATE if every else name == "relaxed order"
    return every or problems < 19 or name in SEVERAL_BLOCKS


def main(*, every: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    for frames, descriptors, problems in SHAPES:
        cosines = torch.rand(problems, frames, descriptors, generator=generator) * 0.5
        prior = -3 * torch.rand(frames, descriptors, generator=generator)
        cases = {
            "balanced": (0.1, None, Marginals(), 1e-2),
            "full precision": (torch.tensor(0.2), None, Marginals(), 1e-6),
            "stopped early": (0.05, None, Marginals(), 1e-4),
            "order": (0.1, prior, Marginals(), 1e-3),
            "relaxed": (torch.tensor(0.1), None, Marginals(epsilon_over_rho=torch.tensor(0.3)), 1e-3),
            "relaxed order": (0.1, prior, Marginals(epsilon_over_rho=0.1), 1e-2),
            "partial": (0.1, None, Marginals(mass=0.8), 1e-2),
        }
        for name, settings in cases.items():
            if not chosen(name, frames, descriptors, problems, every=every):
                continue
            epsilon, log_prior, marginals, tolerance = settings
            problem = SinkhornProblem(epsilon, log_prior, marginals, ITERATIONS, tolerance)
            cosines_last = cosines.permute(1, 2, 0)
            fused = solve_fused(problem, cosines_last)
            plain = solve_in_log_domain(problem, log_kernel(problem, cosines_last))
            result = {
                "name": f"{name}, {frames} x {descriptors}",
                "fits": fits(cosines_last),
                "difference": frames * float((fused.plan - plain.plan).abs().max()),
                "potentials": max(
                    float((fused.log_u - plain.log_u).abs().max()), float((fused.log_v - plain.log_v).abs().max())
                ),
                "rows": frames * float((fused.plan.sum(1) - 1 / frames).abs().max()),
                "converged": [part.converged.tolist() for part in (fused, plain)],
                "slack": [[part.slack_rows.tolist(), part.slack_columns.tolist()] for part in (fused, plain)],
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(every="every" in sys.argv)
