"""Checks that listed videos are there, before anything is read."""

from collections.abc import Mapping
from typing import Literal

from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.errors import UserError
from ost_lightning.vocabulary import EvaluationStage


def check_presence(sets: Mapping[str, LabeledVideos], on_missing: Literal["stop", "skip"]) -> None:
    """Reports missing videos.

    Args:
        sets: Videos by the name of their set.
        on_missing: Whether missing videos stop the run or are left out.

    Raises:
        UserError: If the run stops, or no video of a set is there.
    """
    for name, videos in sets.items():
        if not videos.missing:
            continue
        message = videos.told_missing(name)
        if on_missing == "stop" or not videos.found:
            raise UserError(f"{message} {videos.remedy}")
        rank_zero_info(f"{message} They are left out.")


def require_sets(sets: Mapping[str, LabeledVideos], stage: EvaluationStage) -> None:
    """Checks that there is something to evaluate.

    Raises:
        UserError: If there is no set.
    """
    if not sets:
        verb, what, setting = ("validate", "validation", "val") if stage == "val" else (stage, "test", "test")
        raise UserError(
            f"There is nothing to {verb}: the data has no {what} set. Its setting `{setting}` says where one is."
        )
