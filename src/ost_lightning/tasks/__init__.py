"""What is trained: LightningModules."""

from ost_lightning.tasks.base import AS_TRAINED, LabeledData, Prediction, RecognitionTask
from ost_lightning.tasks.contrastive import ContrastiveRecognition
from ost_lightning.tasks.fsdp import FSDP2Strategy
from ost_lightning.tasks.metrics import RecognitionAccuracy
from ost_lightning.tasks.optimizer import OptimizerSettings
from ost_lightning.tasks.schedules import learning_rate_factor
from ost_lightning.tasks.supervised import Mixing, SupervisedRecognition

__all__ = [
    "AS_TRAINED",
    "ContrastiveRecognition",
    "FSDP2Strategy",
    "LabeledData",
    "Mixing",
    "OptimizerSettings",
    "Prediction",
    "RecognitionAccuracy",
    "RecognitionTask",
    "SupervisedRecognition",
    "learning_rate_factor",
]
