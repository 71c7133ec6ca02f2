"""Experiments from YAML and command line: LightningCLI for recognition tasks and video data modules."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final

from jsonargparse.typing import NonNegativeInt
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_info

# imported so that YAML can use short class names
from ost_lightning import callbacks, datamodules, matching, models, tasks  # noqa: F401
from ost_lightning.callbacks import ResumableCheckpoint
from ost_lightning.callbacks.evaluation.order_report import DEFAULT_SHUFFLES
from ost_lightning.callbacks.resuming import (
    AtomicCheckpointIO,
    CheckpointNotes,
    best_checkpoint,
    check_folder_of_runs,
    last_checkpoint,
    lock_run,
    read_notes,
    refuse_code,
)
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.experiment.arguments import normalized
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.experiment.connecting import connect
from ost_lightning.experiment.lightning_adapter import AdaptedLightningCLI, ExperimentTrainer
from ost_lightning.experiment.preflight import check_data, check_model, check_output, create_data, start_reading
from ost_lightning.experiment.run_config import RunConfig, report_differences
from ost_lightning.experiment.tracking import Tracking, experiment_folder, finishing_wandb_run, run_loggers
from ost_lightning.experiment.trainer_settings import (
    check_cpu_precision,
    fast_precision,
    lightning_complaint,
    strategy_for,
    validate_trainer_settings,
)
from ost_lightning.models import CPUPrecision, use_cpu_precision
from ost_lightning.models.safe_checkpoints import local_file
from ost_lightning.tasks import RecognitionTask

_ORDER_REPORT: Final = "--order_report"
_CPU_PRECISION: Final = "--cpu_precision"


class ExperimentCLI(AdaptedLightningCLI):
    """LightningCLI for recognition tasks and video data modules.

    Args:
        args: Command line without the program's name; the process's command line if not given.

    Raises:
        UserError: If a setting can't work.
        ArgumentError: If the command line can't be parsed.
    """

    trainer_type: ClassVar[type[Trainer]] = ExperimentTrainer
    _resumed: Path | None = None
    _notes = CheckpointNotes()
    _differences: Sequence[str] = ()

    def __init__(self, args: ArgsType = None) -> None:
        described = {name: {"description": EXPERIMENT_COMMANDS[name].summary} for name in self.subcommands()}
        words = sys.argv[1:] if args is None else list(args)
        self.requested = words[0] if words and words[0] in described else None
        try:
            super().__init__(
                RecognitionTask,
                VideoDataModule,
                trainer_class=self.trainer_type,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=RunConfig,
                save_config_kwargs={"save_to_log_dir": False},  # RunConfig writes the file itself
                seed_everything_default=0,
                trainer_defaults={"use_distributed_sampler": False},  # the data modules shard without padding
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
        """Adds `--tracking`, `--order_report`, `--cpu_precision`, and the callbacks that every run has."""
        parser.add_class_arguments(Tracking, "tracking")
        parser.add_lightning_class_args(ResumableCheckpoint, "checkpoint")
        parser.add_lightning_class_args(callbacks.Throughput, "throughput")
        parser.add_lightning_class_args(callbacks.GradientNorm, "gradient_norm")
        parser.add_lightning_class_args(callbacks.NonFiniteLossGuard, "loss_guard")
        parser.add_lightning_class_args(callbacks.ResultsWriter, "results")
        parser.add_argument(
            _ORDER_REPORT,
            type=NonNegativeInt,
            nargs="?",
            const=DEFAULT_SHUFFLES,
            default=0,
            help="Number of random orders of the frames in which a test or validation also scores every video, as well "
            f"as reversed; {DEFAULT_SHUFFLES} if no number is given. 0 for no such report. Training has none.",
        )

        parser.add_argument(
            _CPU_PRECISION,
            type=CPUPrecision | None,
            default=None,
            help="Precision in which a CPU embeds frames in a validation, test or prediction: fp32, bf16, or auto for "
            "bf16 where a measurement of half a second finds it faster. None for that of trainer.precision.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses the command line; checkpoints are read as data only, never as code.

        Raises:
            UserError: If `weights_only` is false.
        """
        self.config = parser.parse_args(normalized(sys.argv[1:] if args is None else list(args)))
        settings = self.config[self.config["subcommand"]]
        refuse_code(settings["weights_only"])
        settings["weights_only"] = True
        if settings["trainer"]["precision"] == "auto":
            settings["trainer"]["precision"] = fast_precision(settings["trainer"]["accelerator"])

    def before_instantiate_classes(self) -> None:
        """Checks the run's folder and the checkpoint before anything heavy is loaded."""
        settings = self.config[self.subcommand]
        experiment = experiment_folder(settings["tracking"], settings["config"])
        check_folder_of_runs(experiment)
        if settings.get("ckpt_path") in ("last", "best"):
            find = self._last_checkpoint if settings["ckpt_path"] == "last" else _best_checkpoint
            settings["ckpt_path"] = find(experiment)
        if settings.get("ckpt_path") is None:
            self._compare_with_initial_weights()
            return
        path = local_file(settings["ckpt_path"])
        settings["ckpt_path"] = str(path)
        if not path.is_file():
            raise UserError(
                f"There is no checkpoint {path}. Expected a file that training wrote, or `last` or `best` for a "
                "checkpoint of this experiment's newest run."
            )
        self._notes = read_notes(path)
        if self._notes.config is not None:
            self._differences = report_differences(self._notes.config, self.config_text())

    def instantiate_classes(self) -> None:
        """Instantiates the classes after the cheap checks, and configures the data for the model."""
        data = create_data(self.parsed_setting("data"))
        settings, stage = self.config[self.subcommand].as_dict(), str(self.subcommand)
        validate_trainer_settings(settings["trainer"], training=stage == "fit")
        check_output(Path(settings["tracking"]["folder"]), settings, training=stage == "fit")
        check_data(data, settings, "test" if stage == "ablate" else stage)
        if settings["cpu_precision"] is not None:
            check_cpu_precision(settings, stage)
        self.check_command(data)
        check_model(data, settings)
        start_reading(data, settings, stage)
        with ExitStack() as failed:
            failed.callback(data.stop_reading)
            super().instantiate_classes()
            failed.pop_all()
        self.datamodule = data  # this one has read the lists
        if isinstance(self.model, RecognitionTask) and isinstance(self.datamodule, VideoDataModule):
            listed = stage == "fit" and not data.needs_preparation
            connect(self.model, data, self.trainer if listed else None, self.parsed_setting("data"))
        self.setting("results").setting_differences = list(self._differences)
        if (wanted := self.setting("cpu_precision")) is not None:
            self._use_cpu_precision(wanted)

    def _use_cpu_precision(self, wanted: CPUPrecision) -> None:
        """Sets the precision in which a CPU embeds frames, and prints what was chosen, if there was a choice."""
        trainer: Trainer = self.trainer
        if remark := use_cpu_precision(self.model.video_clip.encoder, wanted, trainer.strategy.root_device):
            rank_zero_info(remark)

    def check_command(self, data: VideoDataModule) -> None:
        """Checks the settings of a subclass's command, before a model is loaded.

        Args:
            data: Data module, which has read its lists unless it has to prepare its videos first.
        """

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the progress bar and the loggers; the metrics table comes first, because its folder is the run's."""
        settings = self.setting("trainer")
        users = settings["callbacks"] or []
        added = [callbacks.ExactResume(), *([users] if isinstance(users, Callback) else users)]
        if settings["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in added):
            added.append(callbacks.VideoProgressBar(self.setting("throughput")))
        if settings["enable_model_summary"] is not False and not any(isinstance(c, ModelSummary) for c in added):
            added.append(callbacks.ParameterCount())
        configured = settings["logger"]
        others: list[Logger] = (
            [configured] if isinstance(configured, Logger) else list(configured) if isinstance(configured, list) else []
        )
        if shuffles := self.setting("order_report"):
            if any(isinstance(c, callbacks.OrderReport) for c in added):
                raise UserError(
                    f"The experiment has an OrderReport already: set its `shuffles`, or omit {_ORDER_REPORT}."
                )
            added.append(callbacks.OrderReport(shuffles))
        plugins = settings["plugins"] or []
        tracking: Tracking = self.setting("tracking")
        experiment = experiment_folder(tracking, self.parsed_setting("config"))
        return super().instantiate_trainer(
            logger=[*run_loggers(tracking, experiment, self._resumed, self._notes), *others],
            callbacks=added,
            plugins=[*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()],
            strategy=strategy_for(settings["strategy"]),
            **kwargs,
        )

    def default_callbacks(self, callbacks: Iterable[Callback], trainer: dict[str, Any]) -> list[Callback]:
        """Returns all callbacks, except ResumableCheckpoint if the user disabled checkpointing."""
        disabled = trainer.get("enable_checkpointing") is False
        return [callback for callback in callbacks if not (disabled and isinstance(callback, ResumableCheckpoint))]

    def run_context(self) -> AbstractContextManager[None]:
        """Returns a context that ends the W&B run with the subcommand."""
        return finishing_wandb_run()

    def _compare_with_initial_weights(self) -> None:
        """Compares an evaluation's settings with those of the training that wrote its initial weights."""
        encoder = self.parsed_setting("model")["init_args"].get("video_clip") or {}
        source = (encoder.get("init_args") or {}).get("init_from")
        if self.subcommand != "fit" and source is not None and Path(source).is_file():
            config = read_notes(Path(source)).config
            self._differences = report_differences(config, self.config_text()) if config is not None else []

    def _last_checkpoint(self, experiment: Path) -> str | None:
        """Returns the newest run's last checkpoint; `fit` resumes that run in its folder, or starts a new one."""
        found = last_checkpoint(experiment)
        if self.subcommand == "fit":
            self._resumed = found
            if found is not None:
                lock_run(found.parent.parent)  # before anything is loaded
            rank_zero_info(
                f"Resuming from {found}" if found else f"No checkpoint in {experiment} yet: starting a new training."
            )
        elif found is None:
            raise UserError(
                f"There is no last.ckpt in {experiment}/version_*/checkpoints. Train first, or give the path of a "
                "checkpoint with --ckpt_path."
            )
        return str(found) if found else None


def _best_checkpoint(experiment: Path) -> str:
    """Returns the newest run's best checkpoint."""
    last = last_checkpoint(experiment)
    best = best_checkpoint(last) if last is not None else None
    if best is None:
        folder = last.parent if last is not None else experiment / "version_*" / "checkpoints"
        raise UserError(
            f"There is no best checkpoint in {folder}. Add a ModelCheckpoint with a `monitor`, such as "
            "val/{set}/top1 with `mode` max, to trainer.callbacks and train again; or set --ckpt_path to `last` or to "
            "the path of a checkpoint."
        )
    return str(best)
