"""One experiment from YAML and command line: LightningCLI over recognition tasks and video data modules."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_info

# imported as a whole, so that YAML may use short class names
from ost_lightning import callbacks, datamodules, matching, models, tasks  # noqa: F401
from ost_lightning.callbacks import ResumableCheckpoint
from ost_lightning.callbacks.resuming import (
    AtomicCheckpointIO,
    CheckpointNotes,
    best_checkpoint,
    last_checkpoint,
    read_notes,
)
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.experiment.arguments import normalized
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.experiment.connecting import connect
from ost_lightning.experiment.lightning_adapter import AdaptedLightningCLI
from ost_lightning.experiment.run_config import RunConfig, report_differences
from ost_lightning.experiment.tracking import Tracking, experiment_folder, finishing_wandb_run, run_loggers
from ost_lightning.experiment.trainer_settings import lightning_complaint, strategy_for, validate_trainer_settings
from ost_lightning.tasks import RecognitionTask


class ExperimentCLI(AdaptedLightningCLI):
    """LightningCLI over recognition tasks and video data modules.

    Args:
        args: Command line without the program's name; that of the process if not given.

    Raises:
        UserError: If a setting can't work.
        ArgumentError: If the command line can't be parsed.
    """

    trainer_type: ClassVar[type[Trainer]] = Trainer
    _resumed: Path | None = None
    _notes = CheckpointNotes()

    def __init__(self, args: ArgsType = None) -> None:
        described = {name: {"description": EXPERIMENT_COMMANDS[name].summary} for name in self.subcommands()}
        try:
            super().__init__(
                RecognitionTask,
                VideoDataModule,
                trainer_class=self.trainer_type,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=RunConfig,
                save_config_kwargs={"overwrite": True},  # every run has a folder of its own
                seed_everything_default=0,
                trainer_defaults={"use_distributed_sampler": False},  # the data modules shard exactly by themselves
                auto_configure_optimizers=False,
                parser_kwargs={"prog": "ost", "version": version("ost-lightning"), **described},
                args=args,
            )
        except (MisconfigurationException, ValueError) as error:
            complaint = lightning_complaint(error)
            if complaint is None:
                raise
            raise complaint from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--tracking`, and the callbacks that watch over every run."""
        parser.add_class_arguments(Tracking, "tracking")
        parser.add_lightning_class_args(ResumableCheckpoint, "checkpoint")
        parser.add_lightning_class_args(callbacks.Throughput, "throughput")
        parser.add_lightning_class_args(callbacks.GradientNorm, "gradient_norm")
        parser.add_lightning_class_args(callbacks.NonFiniteLossGuard, "loss_guard")
        parser.add_lightning_class_args(callbacks.ResultsWriter, "results")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses; checkpoints are read as data only, never as code."""
        self.config = parser.parse_args(normalized(sys.argv[1:] if args is None else list(args)))
        chosen = self.config[self.config["subcommand"]]
        if chosen["weights_only"] is None:
            chosen["weights_only"] = True

    def before_instantiate_classes(self) -> None:
        """Checks the checkpoint before anything heavy is loaded."""
        chosen = self.config[self.subcommand]
        if chosen.get("ckpt_path") in ("last", "best"):
            find = self._last_checkpoint if chosen["ckpt_path"] == "last" else _best_checkpoint
            chosen["ckpt_path"] = find(experiment_folder(chosen["tracking"], chosen["config"]))
        path = chosen.get("ckpt_path")
        if path is None or "://" in str(path):
            return
        if not Path(path).is_file():
            raise UserError(
                f"There is no checkpoint {path}. Expected a file that training wrote, or `last` or `best` for one of "
                "this experiment's newest run."
            )
        self._notes = read_notes(Path(path))
        if self._notes.config is not None:
            report_differences(self._notes.config, self.config_text())

    def instantiate_classes(self) -> None:
        """Lets the data follow the model."""
        super().instantiate_classes()
        if isinstance(self.model, RecognitionTask) and isinstance(self.datamodule, VideoDataModule):
            connect(self.model, self.datamodule, self.given("data"))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the progress bar and the loggers, the table of metrics first: its folder is the run's folder."""
        settings = self.setting("trainer")
        validate_trainer_settings(settings, training=self.subcommand == "fit")
        given = settings["callbacks"] or []
        watching = [callbacks.ExactResume(), *([given] if isinstance(given, Callback) else given)]
        if settings["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in watching):
            watching.append(callbacks.VideoProgressBar(self.setting("throughput")))
        configured = settings["logger"]
        others: list[Logger] = (
            [configured] if isinstance(configured, Logger) else list(configured) if isinstance(configured, list) else []
        )
        plugins = settings["plugins"] or []
        tracking: Tracking = self.setting("tracking")
        experiment = experiment_folder(tracking, self.given("config"))
        return super().instantiate_trainer(
            logger=[*run_loggers(tracking, experiment, self._resumed, self._notes), *others],
            callbacks=watching,
            plugins=[*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()],
            strategy=strategy_for(settings["strategy"]),
            **kwargs,
        )

    def always_on(self, callbacks: Iterable[Callback], trainer: dict[str, Any]) -> list[Callback]:
        """All callbacks, but for the run's checkpoint where the user wants none."""
        without = trainer.get("enable_checkpointing") is False
        return [callback for callback in callbacks if not (without and isinstance(callback, ResumableCheckpoint))]

    def running(self) -> AbstractContextManager[None]:
        """Ends the run in W&B with the subcommand."""
        return finishing_wandb_run()

    def _last_checkpoint(self, experiment: Path) -> str | None:
        """The newest run's; `fit` goes on with that run, in its folder, or begins if there is none."""
        found = last_checkpoint(experiment)
        if self.subcommand == "fit":
            self._resumed = found
            rank_zero_info(
                f"going on from {found}" if found else f"{experiment} has no checkpoint yet: training begins"
            )
        elif found is None:
            raise UserError(
                f"There is no last checkpoint in {experiment}/version_*/checkpoints. Train first, or give the path of "
                "a checkpoint with --ckpt_path."
            )
        return str(found) if found else None


def _best_checkpoint(experiment: Path) -> str:
    """The newest run's."""
    last = last_checkpoint(experiment)
    best = best_checkpoint(last) if last is not None else None
    if best is None:
        folder = last.parent if last is not None else experiment / "version_*" / "checkpoints"
        raise UserError(
            f"There is no best checkpoint in {folder}. Train with a ModelCheckpoint among trainer.callbacks that has a "
            "`monitor`, such as val/{set}/top1 with `mode` max; or give `last`, or the path of a checkpoint, with "
            "--ckpt_path."
        )
    return str(best)
