"""Analysis of results: tables, figures, and comparison with published scores."""

from ost_lightning.analysis.ablation_table import AblationRow, AblationTable, EvaluationSetCard, mean_of
from ost_lightning.analysis.confusion import ClassErrors, class_errors, draw_confusion, worst_classes
from ost_lightning.analysis.density import (
    Density,
    class_embeddings,
    density,
    density_results,
    draw_density,
    draw_map,
)
from ost_lightning.analysis.matching_flow import MatchingFlow, draw_matching_flows, matching_flow

__all__ = [
    "AblationRow",
    "AblationTable",
    "ClassErrors",
    "Density",
    "EvaluationSetCard",
    "MatchingFlow",
    "class_embeddings",
    "class_errors",
    "density",
    "density_results",
    "draw_confusion",
    "draw_density",
    "draw_map",
    "draw_matching_flows",
    "matching_flow",
    "mean_of",
    "worst_classes",
]
