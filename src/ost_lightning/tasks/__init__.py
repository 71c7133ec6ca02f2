"""Training tasks, as LightningModules, with their optimizer, schedules and sharding."""

from typing import TYPE_CHECKING, Any

from ost_lightning.tasks.base import RecognitionTask
from ost_lightning.tasks.contrastive import ContrastiveRecognition
from ost_lightning.tasks.optimizer import OptimizerSettings
from ost_lightning.tasks.regularizers import Regularizer, StructureDistillation, WeightInterpolation
from ost_lightning.tasks.schedules import learning_rate_factor
from ost_lightning.tasks.supervised import Mixing, SupervisedRecognition
from ost_lightning.tasks.word_bags import WordBagRecognition

if TYPE_CHECKING:
    from ost_lightning.tasks.fsdp import FSDP2Strategy

__all__ = [
    "ContrastiveRecognition",
    "FSDP2Strategy",
    "Mixing",
    "OptimizerSettings",
    "RecognitionTask",
    "Regularizer",
    "StructureDistillation",
    "SupervisedRecognition",
    "WeightInterpolation",
    "WordBagRecognition",
    "learning_rate_factor",
]


def __getattr__(name: str) -> Any:
    """Imports sharding at its first use: it imports half a second of PyTorch, and few runs shard."""
    if name == "FSDP2Strategy":
        from ost_lightning.tasks.fsdp import FSDP2Strategy

        return FSDP2Strategy
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
