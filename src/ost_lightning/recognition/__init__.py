"""Recognition of single videos, given weights and class labels."""

from ost_lightning.recognition.recognition import Recognition
from ost_lightning.recognition.recognizer import Recognizer
from ost_lightning.recognition.trained_model import TrainedModel, find_checkpoint, load_trained_model

__all__ = ["Recognition", "Recognizer", "TrainedModel", "find_checkpoint", "load_trained_model"]
