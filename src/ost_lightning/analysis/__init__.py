"""Looking at results; nothing is trained here."""

from ost_lightning.analysis.confusion import ClassErrors, draw_confusion, worst_classes
from ost_lightning.analysis.matching_flow import MatchingFlow, draw_matching_flows, matching_flow

__all__ = [
    "ClassErrors",
    "MatchingFlow",
    "draw_confusion",
    "draw_matching_flows",
    "matching_flow",
    "worst_classes",
]
