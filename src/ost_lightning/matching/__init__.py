"""From embeddings to scores and loss. Pure tensors: no files, no networks."""

from ost_lightning.matching.losses import symmetric_kl
from ost_lightning.matching.matchers import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    PooledDescriptors,
    SoftmaxMatching,
    TermWeights,
)
from ost_lightning.matching.transport import (
    BALANCED,
    TransportProblem,
    TransportSolution,
    TransportWarning,
    solve_transport,
    transport_plan,
)

__all__ = [
    "BALANCED",
    "CategoryName",
    "Matcher",
    "MaxSimilarity",
    "OptimalDescriptorSolver",
    "PooledDescriptors",
    "SoftmaxMatching",
    "TermWeights",
    "TransportProblem",
    "TransportSolution",
    "TransportWarning",
    "solve_transport",
    "symmetric_kl",
    "transport_plan",
]
