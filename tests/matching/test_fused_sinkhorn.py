"""The GPU kernel: in Triton's interpreter on any machine, and compiled on machines with a GPU."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from ost_lightning.matching import OptimalDescriptorSolver, TransportProblem, solve_transport
from ost_lightning.matching.sinkhorn import solve_with_tensors
from ost_lightning.matching.sinkhorn_problem import Marginals, SinkhornProblem
from tests.processes import LIMIT, environment


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with PyTorch's CUDA builds only")
@pytest.mark.parametrize(
    ("chosen", "cases"), [("few", 7 + 2 + 3), pytest.param("every", 2 * 7 + 3 * 3, marks=pytest.mark.slow)]
)
def test_interpreted_kernel_agrees_with_tensors(chosen: str, cases: int) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "interpreted_kernel.py", chosen],
        env={**environment(), "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == cases
    for result in results:
        assert result["fits"], result["name"]
        assert result["difference"] < 1e-5, result["name"]
        assert result["potentials"] < 3e-5, result["name"]
        assert result["rows"] < 1e-5 or "relaxed" not in result["name"]
        for key in ("converged", "slack"):
            fused, plain = result[key]
            assert fused == plain, (result["name"], key)
    early = [result for result in results if result["name"] == "stopped early, 8 x 4"]
    assert 0 < sum(early[0]["converged"][0]) < 19
    partial = [result for result in results if result["name"] == "partial, 8 x 4"]
    assert 0 < torch.tensor(partial[0]["slack"][0][0]).float().mean() < 1


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(32, 4, 4800), (8, 4, 333), (16, 8, 100), (128, 16, 50), (1, 4, 7), (64, 3, 65)])
@pytest.mark.parametrize("epsilon", [0.02, 0.1, 1.0])
def test_compiled_kernel_agrees_with_tensors(shape: tuple[int, int, int], epsilon: float) -> None:
    from ost_lightning.matching.fused_sinkhorn import solve_fused  # needs Triton

    frames, descriptors, problems = shape
    generator = torch.Generator().manual_seed(0)
    cosines = (torch.rand(problems, frames, descriptors, generator=generator) * 0.5).cuda().permute(1, 2, 0)
    for marginals, tolerance in (
        (Marginals(), 1e-2),
        (Marginals(epsilon_over_rho=0.3), 1e-3),
        (Marginals(mass=0.8), 1e-2),
    ):
        problem = SinkhornProblem(epsilon, None, marginals, 500, tolerance)
        fused, plain = solve_fused(problem, cosines), solve_with_tensors(problem, cosines)
        # a problem whose last change is close to the tolerance may stop one iteration earlier or later
        torch.testing.assert_close(frames * fused.plan, frames * plain.plan, atol=2e-3 * tolerance, rtol=1e-3)
        for part in ("converged", "slack_rows", "slack_columns"):
            agree = (getattr(fused, part) == getattr(plain, part)).float().mean()
            assert float(agree) > 0.999, part


@pytest.mark.gpu
def test_large_and_double_problems_are_solved_by_tensors() -> None:
    for cosines in (torch.rand(2, 256, 64).cuda(), torch.rand(2, 8, 4).double().cuda()):
        solution = solve_transport(cosines, tolerance=1e-3)
        torch.testing.assert_close(solution.plan.sum(-2), torch.full_like(cosines[:, 0], 1 / cosines.shape[-1]))
        assert solution.plan.dtype == cosines.dtype


@pytest.mark.gpu
def test_cosines_that_are_not_finite_give_nan_plans() -> None:
    cosines = torch.rand(3, 8, 4).cuda()
    cosines[1, 2, 3] = torch.nan
    plan = solve_transport(cosines).plan
    assert bool(plan[1].isnan().all())
    assert bool(plan[[0, 2]].isfinite().all())


@pytest.mark.gpu
@pytest.mark.parametrize("gradient", ["detach", "implicit"])
def test_gpu_gradients_agree_with_a_cpu_without_synchronization(gradient: str) -> None:
    problem = TransportProblem(order_sigma=0.2)
    solver = OptimalDescriptorSolver(
        temporal=problem, gradient=gradient, tolerance=1e-5, learn_epsilon=gradient == "implicit"
    )
    rows = [normalize(torch.randn(*shape) + 0.6, dim=-1) for shape in ((3, 8, 64), (5, 4, 64))]
    results = []
    for device in ("cpu", "cuda"):
        solver.zero_grad()
        on_device = solver.to(device)
        frames, texts = (row.detach().clone().to(device).requires_grad_() for row in rows)
        on_device(frames, texts, texts).square().sum().backward()  # compiles the kernel before the check
        frames.grad = texts.grad = None
        on_device.zero_grad()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            on_device(frames, texts, texts).square().sum().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        results.append([frames.grad.cpu(), texts.grad.cpu(), *(p.grad.detach().cpu() for p in on_device.parameters())])
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, atol=1e-5, rtol=1e-3)
