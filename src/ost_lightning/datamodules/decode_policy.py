"""Policy for unreadable videos: training continues up to a limit, evaluation stops or counts them as wrong."""

from typing import Literal

from ost_lightning.datamodules.decode_report import DecodeReport
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import EvaluationBatch
from ost_lightning.vocabulary import EvaluationStage


def apply_decode_policy(
    report: DecodeReport, batch: EvaluationBatch, stage: Literal["train"] | EvaluationStage, loading: LoadingSettings
) -> None:
    """Reports the unreadable videos of a batch, and stops the run if the settings demand it.

    Args:
        report: Report of the run.
        batch: Batch with the failures of its videos.
        stage: Use of the batch. Prediction never stops: its table names the unreadable videos.
        loading: Loading settings with the policy.

    Raises:
        UserError: If the policy stops the run.
    """
    if not batch.failures:
        return
    report.add(batch.failures)
    if stage == "train":
        if not bool(batch.decoded.all()):
            tried = "; ".join(failure.reason for failure in batch.failures[:3])
            raise UserError(
                "Neither a training video nor any of its replacements from the same class could be read. "
                f"Tried: {tried}."
            )
        report.stop_beyond(loading.max_undecodable)
    elif stage != "predict" and loading.on_decode_error == "stop":
        raise UserError(
            f"An evaluation video can't be read: {batch.failures[0].reason}. Repair it, remove it from the list, "
            "or count unreadable videos as wrong with --data.loading.on_decode_error count."
        )
