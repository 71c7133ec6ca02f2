"""Checks that listed videos exist, and exist once, before any is read."""

from collections.abc import Mapping
from typing import Literal

from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.characters import escaped
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.errors import UserError
from ost_lightning.vocabulary import EvaluationStage


def check_presence(sets: Mapping[str, LabeledVideos], on_missing: Literal["stop", "skip"]) -> None:
    """Reports missing videos.

    Args:
        sets: Videos by the name of their set.
        on_missing: Whether missing videos stop the run or are skipped.

    Raises:
        UserError: If the run stops, or no video of a set exists.
    """
    for name, videos in sets.items():
        if not videos.missing:
            continue
        message = videos.missing_message(name)
        if on_missing == "stop" or not videos.found:
            raise UserError(f"{message} {videos.remedy}")
        rank_zero_info(escaped(f"{message} They are skipped."))


def require_sets(sets: Mapping[str, LabeledVideos], stage: EvaluationStage) -> None:
    """Checks that the data has a set to evaluate.

    Raises:
        UserError: If it has none.
    """
    if not sets:
        verb, what, setting = ("validate", "validation", "val") if stage == "val" else (stage, "test", "test")
        raise UserError(f"There is nothing to {verb}: the data has no {what} set. Add one with the data's `{setting}`.")


def report_repeats(sets: Mapping[str, LabeledVideos]) -> None:
    """Prints which videos occur more than once in a set.

    Args:
        sets: Videos by the name of their set.
    """
    for name, videos in sets.items():
        if videos.repeats:
            rank_zero_info(escaped(videos.repeats_message(name)))
