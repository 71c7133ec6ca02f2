"""What happens when videos can't be read: training goes on within limits, evaluation stops or counts them."""

from typing import Literal

from ost_lightning.datamodules.decode_report import DecodeReport
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import EvaluationBatch
from ost_lightning.vocabulary import EvaluationStage


def apply_decode_policy(
    report: DecodeReport, batch: EvaluationBatch, stage: Literal["train"] | EvaluationStage, loading: LoadingSettings
) -> None:
    """Reports the unreadable videos of a batch, and stops the run where the settings say so.

    Args:
        report: Report of the run.
        batch: Batch with the failures of its videos.
        stage: What the batch is for. A prediction never stops: its table names the unreadable videos.
        loading: Settings with the policy.

    Raises:
        UserError: If the run is to stop.
    """
    if not batch.failures:
        return
    report.add(batch.failures)
    if stage == "train":
        if not bool(batch.decoded.all()):
            tried = "; ".join(failure.reason for failure in batch.failures[:3])
            raise UserError(
                "No readable video was found for a training sample, nor in its place another of its class. "
                f"Tried: {tried}."
            )
        report.stop_beyond(loading.max_undecodable)
    elif stage != "predict" and loading.on_decode_error == "stop":
        raise UserError(
            f"A video of the evaluation can't be read: {batch.failures[0].reason}. Repair it or take it off the list, "
            "or count unreadable videos as wrong with --data.loading.on_decode_error count."
        )
