"""From class names to the sentences that CLIP encodes: label spaces, descriptors and templates."""

from ost_lightning.text.label_files import Descriptors, LabelSpaceError
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.text.label_space_diff import compare
from ost_lightning.text.linting import Finding, TokenCount, lint
from ost_lightning.text.templates import SentenceSet, Templates

__all__ = [
    "Descriptors",
    "Finding",
    "LabelSpace",
    "LabelSpaceError",
    "SentenceSet",
    "Templates",
    "TokenCount",
    "compare",
    "lint",
]
