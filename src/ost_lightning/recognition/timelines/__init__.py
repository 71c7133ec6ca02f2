"""Timelines: which action happens when in a long video."""

from ost_lightning.recognition.timelines.timeline import Evidence, Gap, Segment, Timeline

__all__ = ["Evidence", "Gap", "Segment", "Timeline"]
