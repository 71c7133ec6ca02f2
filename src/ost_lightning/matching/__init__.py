"""From embeddings to scores and loss. Pure tensors: no files, no networks."""

from ost_lightning.matching.losses import symmetric_kl
from ost_lightning.matching.matchers import CategoryName, Matcher, OptimalDescriptorSolver, PooledDescriptors
from ost_lightning.matching.transport import TransportSolution, TransportWarning, solve_transport, transport_plan

__all__ = [
    "CategoryName",
    "Matcher",
    "OptimalDescriptorSolver",
    "PooledDescriptors",
    "TransportSolution",
    "TransportWarning",
    "solve_transport",
    "symmetric_kl",
    "transport_plan",
]
