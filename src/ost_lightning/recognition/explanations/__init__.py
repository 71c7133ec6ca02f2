"""Explanations: sentences, frames and patches that decided, as pictures and as a page."""

from ost_lightning.recognition.explanations.explained_videos import ExplainedVideos
from ost_lightning.recognition.explanations.explanation import (
    Explanation,
    MapMethod,
    attention_maps,
    is_explainable,
    sentence_matches,
)
from ost_lightning.recognition.explanations.page import ExplainedByModel, write_explanation_page
from ost_lightning.recognition.explanations.pictures import draw_comparison, draw_flows, draw_maps, draw_matches

__all__ = [
    "ExplainedByModel",
    "ExplainedVideos",
    "Explanation",
    "MapMethod",
    "attention_maps",
    "draw_comparison",
    "draw_flows",
    "draw_maps",
    "draw_matches",
    "is_explainable",
    "sentence_matches",
    "write_explanation_page",
]
