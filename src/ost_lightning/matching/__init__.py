"""From embeddings to scores and loss: pure tensor code, without files or networks."""

from ost_lightning.matching.alignment import SoftDTW
from ost_lightning.matching.losses import (
    Positives,
    bag_contrast,
    random_directions,
    relative_structure,
    structure_distillation,
    symmetric_kl,
)
from ost_lightning.matching.matchers import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    PlanMatcher,
    PooledDescriptors,
    SoftmaxMatching,
)
from ost_lightning.matching.od_solver import OptimalDescriptorSolver, TermWeights
from ost_lightning.matching.order_contrast import OrderContrast
from ost_lightning.matching.transport import TransportSolution, TransportWarning, solve_transport, transport_plan
from ost_lightning.matching.transport_problem import BALANCED, TransportProblem

__all__ = [
    "BALANCED",
    "CategoryName",
    "Matcher",
    "MaxSimilarity",
    "OptimalDescriptorSolver",
    "OrderContrast",
    "PlanMatcher",
    "PooledDescriptors",
    "Positives",
    "SoftDTW",
    "SoftmaxMatching",
    "TermWeights",
    "TransportProblem",
    "TransportSolution",
    "TransportWarning",
    "bag_contrast",
    "random_directions",
    "relative_structure",
    "solve_transport",
    "structure_distillation",
    "symmetric_kl",
    "transport_plan",
]
