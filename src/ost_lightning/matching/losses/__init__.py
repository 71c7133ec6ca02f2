"""The training objectives."""

from ost_lightning.matching.losses.contrast import Positives, bag_contrast, symmetric_kl
from ost_lightning.matching.losses.structure import random_directions, relative_structure, structure_distillation

__all__ = [
    "Positives",
    "bag_contrast",
    "random_directions",
    "relative_structure",
    "structure_distillation",
    "symmetric_kl",
]
