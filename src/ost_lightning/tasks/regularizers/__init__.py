"""Loss terms beside a task's own."""

from ost_lightning.tasks.regularizers.base import (
    REGULARIZER_STATES,
    Regularizer,
    Regularizers,
    TrainingStep,
    without_regularizers,
)
from ost_lightning.tasks.regularizers.projection import ResidualProjection
from ost_lightning.tasks.regularizers.structure_distillation import StructureDistillation
from ost_lightning.tasks.regularizers.teacher import Teacher
from ost_lightning.tasks.regularizers.weight_interpolation import WeightInterpolation

__all__ = [
    "REGULARIZER_STATES",
    "Regularizer",
    "Regularizers",
    "ResidualProjection",
    "StructureDistillation",
    "Teacher",
    "TrainingStep",
    "WeightInterpolation",
    "without_regularizers",
]
