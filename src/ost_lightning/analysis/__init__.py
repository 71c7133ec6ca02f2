"""Looking at results; nothing is trained here."""

from ost_lightning.analysis.matching_flow import MatchingFlow, draw_matching_flows, matching_flow

__all__ = ["MatchingFlow", "draw_matching_flows", "matching_flow"]
