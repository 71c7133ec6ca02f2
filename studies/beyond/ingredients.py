"""What may be added to OST, one line each: a matcher, a variant of the training, a set of weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from variants import RHOS, SIGMAS, TERMS

from ost_lightning.matching import Matcher, OptimalDescriptorSolver, SoftDTW, TermWeights, TransportProblem

WeightSet = Literal["pre-trained", "tuned", "ensembled", "averaged"]
"""Weights as CLIP brings them, after training, mixed with CLIP's by the paper's ratio, and the mean of CLIP's and those
after every epoch."""
NAMES: Final = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Ingredient:
    """One row of the tables.

    Attributes:
        matcher: Matcher of the test.
        training: Variant of `train.py`.
        weights: Set of weights of this training.
    """

    matcher: Matcher = field(default_factory=OptimalDescriptorSolver)
    training: str = "paper"
    weights: WeightSet = "tuned"


def solver(terms: TermWeights = TERMS["eq13"], sigma: float | None = None, rho: float | None = None) -> Matcher:
    spatio, temporal = TransportProblem(descriptor_rho=rho), TransportProblem(order_sigma=sigma, descriptor_rho=rho)
    return OptimalDescriptorSolver(max_iterations=200, terms=terms, spatio=spatio, temporal=temporal)


def choices() -> dict[str, dict[float, Matcher]]:
    """Returns the matchers of every value of the settings that are chosen on seen classes."""
    return {
        "order_sigma": {sigma: solver(sigma=sigma) for sigma in SIGMAS},
        "descriptor_rho": {rho: solver(rho=rho) for rho in RHOS},
        "name": {name: solver(TermWeights(name=name)) for name in NAMES},
    }


def ingredients(choice: Mapping[str, float]) -> dict[str, Ingredient]:
    """Returns every row, with the settings that were chosen."""
    sigma, rho = choice["order_sigma"], choice["descriptor_rho"]
    return {
        "Eq. 13": Ingredient(),
        "pre-trained weights": Ingredient(weights="pre-trained"),
        "ensembled with CLIP": Ingredient(weights="ensembled"),
        "averaged with CLIP": Ingredient(weights="averaged"),
        "transported terms only": Ingredient(solver(TERMS["ot"])),
        "name term": Ingredient(solver(TermWeights(name=choice["name"]))),
        "order prior": Ingredient(solver(sigma=sigma)),
        "order prior, wide": Ingredient(solver(sigma=0.3)),
        "order evidence": Ingredient(solver(TermWeights(order=2.0))),
        "soft-DTW of steps alone": Ingredient(SoftDTW(0.03)),
        "relaxed marginal": Ingredient(solver(rho=rho)),
        "recipe": recipe(rho=rho),
    }


def recipe(rho: float) -> Ingredient:
    """Returns what `experiments/ost_plus.yaml` sets."""
    return Ingredient(solver(TERMS["ot"], sigma=0.3, rho=rho), weights="averaged")
