"""Transport problems that the tests of matching share."""

import pytest
import torch
from torch import Tensor

from ost_lightning.matching import BALANCED, TransportProblem

PROBLEMS = {
    "balanced": BALANCED,
    "order": TransportProblem(order_sigma=0.3),
    "relaxed": TransportProblem(descriptor_rho=0.3),
    "partial": TransportProblem(mass=0.7),
    "relaxed order": TransportProblem(order_sigma=0.3, descriptor_rho=0.5),
    "partial order": TransportProblem(order_sigma=0.3, mass=0.8),
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())


def random_cosines(
    shape: tuple[int, ...], seed: int = 0, low: float = 0.0, high: float = 0.6, dtype: torch.dtype = torch.float64
) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * (high - low) + low
