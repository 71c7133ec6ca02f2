"""Metrics of an evaluation in the log, and the check that no video was left out."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.evaluation import Evaluation
from ost_lightning.vocabulary import AS_TRAINED, EvaluationStage


def log_results(task: LightningModule, stage: EvaluationStage, evaluation: Evaluation) -> None:
    """Logs what the reported scorers have found.

    Args:
        task: Module that logs, with its trainer.
        stage: First part of the metrics' names.
        evaluation: The evaluation, after its last batch; counts are summed over processes.

    Raises:
        RuntimeError: If another number of videos was scored than is listed.
    """
    listed = {one.name: one.listed for one in evaluation.sets}
    for (name, scorer), results in evaluation.results().items():
        if not evaluation.scorers[scorer].reported:
            continue
        prefix = f"{stage}/{name}" if scorer == AS_TRAINED else f"{stage}/{name}/{scorer}"
        for key, value in results.items():
            task.log(f"{prefix}/{key}", value.float(), prog_bar=key == "top1", sync_dist=False)
        _check_count(task.trainer, stage, prefix, int(results["videos"]), listed[name])


def _check_count(trainer: Trainer, stage: EvaluationStage, what: str, scored: int, listed: int) -> None:
    """All listed videos are scored, unless the user limited the batches."""
    limit = trainer.limit_val_batches if stage == "val" else trainer.limit_test_batches
    limited = isinstance(limit, int) or limit < 1 or trainer.sanity_checking
    if scored != listed and not limited:
        raise RuntimeError(f"{what}: {scored} videos were scored, but {listed} are listed")
    rank_zero_info(f"{what}: {scored} videos scored {'=' if scored == listed else 'of'} {listed} listed")
