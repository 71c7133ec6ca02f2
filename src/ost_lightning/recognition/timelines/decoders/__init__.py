"""Decoders: from the evidence of stretches to segments of a timeline."""

from ost_lightning.recognition.timelines.decoders.base import Decoding, StepDecoder, TimelineDecoder
from ost_lightning.recognition.timelines.decoders.stretch import StretchDecoder
from ost_lightning.recognition.timelines.decoders.threshold import ThresholdDecoder
from ost_lightning.recognition.timelines.decoders.transport import TransportDecoder
from ost_lightning.recognition.timelines.decoders.viterbi import ViterbiDecoder

__all__ = [
    "Decoding",
    "StepDecoder",
    "StretchDecoder",
    "ThresholdDecoder",
    "TimelineDecoder",
    "TransportDecoder",
    "ViterbiDecoder",
]
