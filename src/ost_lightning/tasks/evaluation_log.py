"""Logs an evaluation's metrics, and checks that no video was omitted."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.evaluation import Evaluation
from ost_lightning.vocabulary import AS_TRAINED, EvaluationStage, counted


def log_results(task: LightningModule, stage: EvaluationStage, evaluation: Evaluation) -> None:
    """Logs the results of the scorers whose results are reported.

    Args:
        task: Module that logs, attached to its trainer.
        stage: First part of the metrics' names.
        evaluation: Evaluation after its last batch; counts are summed over processes.

    Raises:
        RuntimeError: If the number of scored videos differs from the number of listed videos.
    """
    listed = {evaluation_set.name: evaluation_set.listed for evaluation_set in evaluation.sets}
    for (name, scorer), results in evaluation.results().items():
        if not evaluation.scorers[scorer].reported:
            continue
        prefix = f"{stage}/{name}" if scorer == AS_TRAINED else f"{stage}/{name}/{scorer}"
        for key, value in results.items():
            task.log(f"{prefix}/{key}", value.float(), prog_bar=key == "top1", sync_dist=False)
        scored = int(results["videos"])
        _check_count(task.trainer, stage, prefix, scored, listed[name])
        videos = counted(scored, "video") if scored == listed[name] else f"{scored:,} of {listed[name]:,} videos"
        if stage == "val":  # a test ends with a table
            top1, top5 = (f"{100 * float(results[figure]):.1f} %" for figure in ("top1", "top5"))
            rank_zero_info(f"{prefix}: Top-1 {top1}, Top-5 {top5} of {videos}")


def _check_count(trainer: Trainer, stage: EvaluationStage, prefix: str, scored: int, listed: int) -> None:
    """Checks that all listed videos were scored, unless the user limited the batches."""
    limit = trainer.limit_val_batches if stage == "val" else trainer.limit_test_batches
    limited = isinstance(limit, int) or limit < 1 or trainer.sanity_checking
    if scored != listed and not limited:
        raise RuntimeError(f"{prefix}: {scored} videos were scored, but {listed} are listed")
