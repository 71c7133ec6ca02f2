"""Evaluation sets, which define the classes that a loader's videos are scored against."""

from dataclasses import dataclass

from ost_lightning.text import LabelSpace


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Videos that are scored together, against one label space.

    Attributes:
        name: Name in metrics and results.
        labels: Classes and their descriptors.
        listed: Number of videos in the list, all of which must be scored, over all processes.
    """

    name: str
    labels: LabelSpace
    listed: int
