"""From class names to the sentences that CLIP encodes: label spaces, descriptors and templates."""

from ost_lightning.text.alike_names import alike_names, describe_alike
from ost_lightning.text.label_files import Descriptors, LabelSpaceError
from ost_lightning.text.label_space import LabelSpace, OrphanDescriptorsWarning
from ost_lightning.text.label_space_diff import compare
from ost_lightning.text.linting import Finding, lint
from ost_lightning.text.templates import SentenceSet, Templates
from ost_lightning.text.token_count import TokenCount
from ost_lightning.text.word_bags import VideoBag, WordBags

__all__ = [
    "Descriptors",
    "Finding",
    "LabelSpace",
    "LabelSpaceError",
    "OrphanDescriptorsWarning",
    "SentenceSet",
    "Templates",
    "TokenCount",
    "VideoBag",
    "WordBags",
    "alike_names",
    "compare",
    "describe_alike",
    "lint",
]
