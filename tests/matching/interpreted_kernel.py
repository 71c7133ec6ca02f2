"""Solves small problems by the GPU's kernel in Triton's interpreter, on a CPU, and by the tensors' iterations.

Runs in a process of its own with TRITON_INTERPRET=1, which Triton reads when it is imported. Prints a line of JSON for
each problem.
"""

import json

import torch

from ost_lightning.matching.fused_sinkhorn import fits, solve_fused
from ost_lightning.matching.sinkhorn import Marginals, Scaled, Sinkhorn

SHAPES = ((5, 3, 6), (8, 4, 19), (1, 1, 2), (1, 3, 2), (6, 1, 2))
ITERATIONS = 60


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    for frames, descriptors, problems in SHAPES:
        cosines = torch.rand(problems, frames, descriptors, generator=generator) * 0.5
        prior = -3 * torch.rand(frames, descriptors, generator=generator)
        cases = {
            "balanced": (0.1, None, Marginals(), 1e-2),
            "to the last digit": (torch.tensor(0.2), None, Marginals(), 1e-6),
            "stopped early": (0.02, None, Marginals(), 1e-5),
            "order": (0.1, prior, Marginals(), 1e-3),
            "relaxed": (torch.tensor(0.1), None, Marginals(relaxation=torch.tensor(0.3)), 1e-3),
            "relaxed and in order": (0.1, prior, Marginals(relaxation=0.1), 1e-3),
            "partial": (0.1, None, Marginals(mass=0.8), 1e-2),
        }
        for name, (epsilon, log_prior, marginals, tolerance) in cases.items():
            sinkhorn = Sinkhorn(epsilon, log_prior, marginals, ITERATIONS, tolerance)
            problem = cosines.permute(1, 2, 0)
            fused = Scaled(*solve_fused(sinkhorn, problem))
            plain = sinkhorn.solve_with_logarithms(*sinkhorn._log_kernel(problem.clone()))
            result = {
                "name": f"{name}, {frames} x {descriptors}",
                "fits": fits(problem),
                "difference": frames * float((fused.plan - plain.plan).abs().max()),
                "converged": [part.converged.tolist() for part in (fused, plain)],
                "free": [[part.free_rows.tolist(), part.free_columns.tolist()] for part in (fused, plain)],
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
