"""Asking a library: what shows this, what is like this, which class is each segment, and what to label next."""

from ost_lightning.library.asking.classification import Classification
from ost_lightning.library.asking.found import FoundSegment, FoundSegments, RankedBy
from ost_lightning.library.asking.found_files import check_found_file, save_found
from ost_lightning.library.asking.query import Query
from ost_lightning.library.asking.searcher import Searcher, one_view
from ost_lightning.library.asking.settings import SearchSettings
from ost_lightning.library.asking.suggestion import Suggestion, Suggestions, check_suggestion_file

__all__ = [
    "Classification",
    "FoundSegment",
    "FoundSegments",
    "Query",
    "RankedBy",
    "SearchSettings",
    "Searcher",
    "Suggestion",
    "Suggestions",
    "check_found_file",
    "check_suggestion_file",
    "one_view",
    "save_found",
]
