"""Looking at results; nothing is trained here."""

from ost_lightning.analysis.ablation_table import AblationRow, AblationTable, EvaluationSetCard, mean_of
from ost_lightning.analysis.matching_flow import MatchingFlow, draw_matching_flows, matching_flow

__all__ = [
    "AblationRow",
    "AblationTable",
    "EvaluationSetCard",
    "MatchingFlow",
    "draw_matching_flows",
    "matching_flow",
    "mean_of",
]
