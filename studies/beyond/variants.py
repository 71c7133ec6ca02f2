"""Matchers compared in the study."""

from typing import ClassVar

from torch import Tensor

from ost_lightning.matching import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    PooledDescriptors,
    SoftmaxMatching,
    TermWeights,
    TransportProblem,
)
from ost_lightning.vocabulary import DescriptorKind

SIGMAS = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
RHOS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0)
MASSES = (0.5, 0.7, 0.8, 0.9)
EPSILONS = (0.02, 0.05, 0.2, 0.5)

TERMS = {
    "eq13": TermWeights(),
    "ot": TermWeights(spatio_pooled=0, temporal_pooled=0),
    "t-ot": TermWeights(0, 0, 0, 1),
}
"""All four terms of Eq. 13; only the transported ones; only the transported temporal one."""


class RememberingSolver(OptimalDescriptorSolver):
    """Solves each problem once for all matchers that differ only in the weights of their terms."""

    solved: ClassVar[dict[tuple[object, ...], tuple[Tensor, Tensor]]] = {}

    def cosines_and_plan(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> tuple[Tensor, Tensor]:
        problem = self.problems[kind]
        key = (id(frames), id(descriptors), problem, self.epsilon, self.max_iterations)
        if key not in self.solved:
            self.solved[key] = super().cosines_and_plan(frames, descriptors, kind)
        return self.solved[key]


def solver(
    terms: str, sigma: float | None = None, rho: float | None = None, mass: float = 1.0, epsilon: float = 0.1
) -> Matcher:
    return RememberingSolver(
        epsilon=epsilon,
        max_iterations=200,
        terms=TERMS[terms],
        spatio=TransportProblem(descriptor_rho=rho, mass=mass),
        temporal=TransportProblem(order_sigma=sigma, descriptor_rho=rho, mass=mass),
    )


def grid() -> dict[str, Matcher]:
    """Returns all settings to choose from."""
    found: dict[str, Matcher] = {}
    for terms in TERMS:
        found[terms] = solver(terms)
        found |= {f"{terms} sigma {sigma:g}": solver(terms, sigma=sigma) for sigma in SIGMAS}
        found |= {f"{terms} rho {rho:g}": solver(terms, rho=rho) for rho in RHOS}
        found |= {f"{terms} mass {mass:g}": solver(terms, mass=mass) for mass in MASSES}
        found |= {f"{terms} epsilon {epsilon:g}": solver(terms, epsilon=epsilon) for epsilon in EPSILONS}
    return found


def baselines() -> dict[str, Matcher]:
    return {
        "name": CategoryName(),
        "name and pooled": PooledDescriptors(),
        "pooled": OptimalDescriptorSolver(terms=TermWeights(spatio_transported=0, temporal_transported=0)),
        "spatio": OptimalDescriptorSolver(terms=TermWeights(temporal_pooled=0, temporal_transported=0)),
        "temporal": OptimalDescriptorSolver(terms=TermWeights(spatio_pooled=0, spatio_transported=0)),
        "s-ot": OptimalDescriptorSolver(terms=TermWeights(0, 0, 1, 0)),
        "t-pooled": OptimalDescriptorSolver(terms=TermWeights(0, 1, 0, 0)),
        "s-pooled": OptimalDescriptorSolver(terms=TermWeights(1, 0, 0, 0)),
        "max, frames choose": MaxSimilarity(),
        "max, descriptors choose": MaxSimilarity("descriptors_to_frames"),
        "softmax, frames choose": SoftmaxMatching(),
        "softmax, descriptors choose": SoftmaxMatching(direction="descriptors_to_frames"),
    }


def chosen(sigma: float, rho: float, mass: float, epsilon: float = 0.1) -> dict[str, Matcher]:
    """Returns each mechanism at its chosen setting, for every set of terms."""
    found: dict[str, Matcher] = {}
    for terms in TERMS:
        found[terms] = solver(terms, epsilon=epsilon)
        found[f"{terms} +order"] = solver(terms, sigma=sigma, epsilon=epsilon)
        found[f"{terms} +relaxed"] = solver(terms, rho=rho, epsilon=epsilon)
        found[f"{terms} +partial"] = solver(terms, mass=mass, epsilon=epsilon)
        found[f"{terms} +order +relaxed"] = solver(terms, sigma=sigma, rho=rho, epsilon=epsilon)
    return found
