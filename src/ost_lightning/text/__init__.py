"""From class names to the sentences that CLIP reads: label spaces, descriptors, templates."""

from ost_lightning.text.label_space import Descriptors, LabelSpace, LabelSpaceError
from ost_lightning.text.templates import KINDS, Kind, SentenceSet, Templates

__all__ = ["KINDS", "Descriptors", "Kind", "LabelSpace", "LabelSpaceError", "SentenceSet", "Templates"]
