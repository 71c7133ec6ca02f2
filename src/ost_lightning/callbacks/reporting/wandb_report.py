"""The page about a test run, as an artifact of W&B."""

from pathlib import Path
from typing import Final

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.analysis.report.report import write_report
from ost_lightning.analysis.report.reported_run import ReportedRun

REPORT_FILE: Final = "report.html"


def log_report(trainer: Trainer, folder: Path) -> None:
    """Writes the page about a test run and logs it as an artifact, if the run is logged to W&B.

    Args:
        trainer: Trainer of a test that has ended.
        folder: Folder of the run, with its results.
    """
    loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    if not loggers:
        return
    from wandb import Artifact  # takes long to import

    write_report([ReportedRun.read(folder)], folder / REPORT_FILE)
    for logger in loggers:
        run = logger.experiment
        artifact = Artifact(f"report-{run.id}", type="report", description="Page about the test run")
        artifact.add_file(str(folder / REPORT_FILE), policy="immutable")  # not copied
        run.log_artifact(artifact)
    rank_zero_info(f"Report written to {folder / REPORT_FILE} and logged to W&B")
