"""What is trained: LightningModules."""

from ost_lightning.tasks.base import AS_TRAINED, LabelledData, Optimisation, Prediction, RecognitionTask
from ost_lightning.tasks.contrastive import ContrastiveRecognition
from ost_lightning.tasks.metrics import RecognitionAccuracy
from ost_lightning.tasks.schedules import learning_rate_factor

__all__ = [
    "AS_TRAINED",
    "ContrastiveRecognition",
    "LabelledData",
    "Optimisation",
    "Prediction",
    "RecognitionAccuracy",
    "RecognitionTask",
    "learning_rate_factor",
]
