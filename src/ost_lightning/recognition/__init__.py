"""Recognition of videos, given weights and class labels."""

from ost_lightning.recognition.conformal import Calibration, ConformalCalibrator
from ost_lightning.recognition.embedded_clip import EmbeddedClip
from ost_lightning.recognition.explanations import (
    ExplainedByModel,
    Explanation,
    attention_maps,
    draw_comparison,
    draw_maps,
    draw_matches,
    write_explanation_page,
)
from ost_lightning.recognition.live import LiveRecognition, StreamLostWarning
from ost_lightning.recognition.recognition import Recognition, Unreadable
from ost_lightning.recognition.recognizer import Recognizer
from ost_lightning.recognition.result_files import ResultFile, check_format
from ost_lightning.recognition.sentence_match import SentenceMatch
from ost_lightning.recognition.sources import STANDARD_INPUT, find_videos, require_a_source
from ost_lightning.recognition.trained_model import TrainedModel, find_checkpoint, load_trained_model

__all__ = [
    "STANDARD_INPUT",
    "Calibration",
    "ConformalCalibrator",
    "EmbeddedClip",
    "ExplainedByModel",
    "Explanation",
    "LiveRecognition",
    "Recognition",
    "Recognizer",
    "ResultFile",
    "SentenceMatch",
    "StreamLostWarning",
    "TrainedModel",
    "Unreadable",
    "attention_maps",
    "check_format",
    "draw_comparison",
    "draw_maps",
    "draw_matches",
    "find_checkpoint",
    "find_videos",
    "load_trained_model",
    "require_a_source",
    "write_explanation_page",
]
