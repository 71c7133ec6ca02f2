"""Inputs shared by the matching tests."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.matching import BALANCED, Matcher, OptimalDescriptorSolver, TermWeights, TransportProblem

PROBLEMS = {
    "balanced": BALANCED,
    "order": TransportProblem(order_sigma=0.3),
    "relaxed": TransportProblem(descriptor_rho=0.3),
    "partial": TransportProblem(mass=0.7),
    "relaxed order": TransportProblem(order_sigma=0.3, descriptor_rho=0.5),
    "partial order": TransportProblem(order_sigma=0.3, mass=0.8),
    "confident": TransportProblem(frame_temperature=0.2),
    "confident relaxed order": TransportProblem(order_sigma=0.3, descriptor_rho=0.5, frame_temperature=0.3),
    "confident partial": TransportProblem(mass=0.7, frame_temperature=0.3),
}
IN_ORDER = OptimalDescriptorSolver(
    max_iterations=1000,
    temporal=TransportProblem(order_sigma=0.2, descriptor_rho=0.5),
    spatio=TransportProblem(mass=0.8),
)
TRANSPORTED = TermWeights(spatio_pooled=0, temporal_pooled=0)
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())


def random_cosines(
    shape: tuple[int, ...], seed: int = 0, low: float = 0.0, high: float = 0.6, dtype: torch.dtype = torch.float64
) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * (high - low) + low


def embeddings(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def inputs(matcher: Matcher) -> list[Tensor]:
    texts = {"name": embeddings(7, 1, 16, seed=1), "spatio": embeddings(7, 4, 16, seed=2)}
    texts["temporal"] = embeddings(7, 4, 16, seed=3)
    return [embeddings(5, 6, 16), *(texts[kind] for kind in matcher.kinds)]
