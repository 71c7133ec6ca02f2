"""What may be added to OST, one line each: a matcher, a variant of the training, a set of weights, more drafts.

Every setting was chosen on seen classes of the standard setting (docs/beyond.md), none in the hard one.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from variants import TERMS, RememberingSolver

from ost_lightning.matching import Matcher, SoftDTW, TermWeights, TransportProblem

WeightSet = Literal["pre-trained", "tuned", "ensembled", "averaged"]
"""Weights as CLIP brings them, after training, mixed with CLIP's by the paper's ratio, and the mean of CLIP's and those
after every epoch."""


def solver(
    terms: TermWeights = TERMS["eq13"],
    sigma: float | None = None,
    rho: float | None = None,
    temperature: float | None = None,
) -> Matcher:
    spatio = TransportProblem(descriptor_rho=rho, frame_temperature=temperature)
    temporal = replace(spatio, order_sigma=sigma)
    return RememberingSolver(max_iterations=200, terms=terms, spatio=spatio, temporal=temporal)


@dataclass(frozen=True)
class Ingredient:
    """One row of the tables.

    Attributes:
        matcher: Matcher of the test.
        training: Variant of `train.py`.
        weights: Set of weights of this training.
        drafts: Number of drafts of the descriptors, of which the consensus is used; 1 for the first as it is.
    """

    matcher: Matcher = field(default_factory=solver)
    training: str = "paper"
    weights: WeightSet = "tuned"
    drafts: int = 1


PLUS = TermWeights(spatio_pooled=0, temporal_pooled=0, order=1, order_sigma=0.3)
"""Terms of experiments/presets/ost_plus.yaml."""
INGREDIENTS = {
    "Eq. 13": Ingredient(),
    "pre-trained weights": Ingredient(weights="pre-trained"),
    "ensembled with CLIP": Ingredient(weights="ensembled"),
    "average that contains CLIP": Ingredient(weights="averaged"),
    "structure distillation": Ingredient(training="distillation"),
    "weight interpolation": Ingredient(training="interpolation"),
    "temporal context": Ingredient(training="context"),
    "transported terms only": Ingredient(solver(TERMS["ot"])),
    "name term": Ingredient(solver(TermWeights(name=0.25))),
    "frame marginals": Ingredient(solver(temperature=0.3)),
    "relaxed marginal": Ingredient(solver(rho=0.2)),
    "order prior": Ingredient(solver(sigma=0.1)),
    "soft-DTW of the steps alone": Ingredient(SoftDTW(0.03)),
    "evidence for the order": Ingredient(solver(TermWeights(order=2, order_sigma=0.3))),
    "consensus of 5 drafts": Ingredient(drafts=5),
    "transported terms, evidence": Ingredient(solver(PLUS)),
    "OST+": Ingredient(solver(PLUS), drafts=5),
}
"""Rows of the tables; the last ones are the parts of the recipe together."""
