"""One experiment from YAML and command line: LightningCLI with rules for loggers, checkpoints and configuration."""

import os
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
import wandb
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, Strategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from wandb.errors import CommError, UsageError

# imported as a whole, so that YAML may use short class names
from ost_lightning import callbacks, datamodules, matching, models, tasks  # noqa: F401
from ost_lightning.callbacks import ResumableCheckpoint
from ost_lightning.callbacks.resuming import (
    CONFIG_IN_CHECKPOINT,
    AtomicCheckpointIO,
    CheckpointNotes,
    MetricsTable,
    best_checkpoint,
    last_checkpoint,
    read_notes,
    version_of,
)
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.experiment.connecting import connect
from ost_lightning.resources import shipped
from ost_lightning.tasks import FSDP2Strategy, RecognitionTask


@dataclass(frozen=True)
class Tracking:
    """Where runs are recorded: `{folder}/{name}/version_{n}`, always as CSV, and in W&B unless switched off.

    Attributes:
        name: Of the experiment; the file name of the first --config if not given.
        folder: Of all runs.
        wandb: Log to W&B too; offline unless WANDB_API_KEY is set or an agent runs this as part of a sweep.
        project: W&B project.
    """

    name: str | None = None
    folder: Path = Path("runs")
    wandb: bool = True
    project: str = "ost_lightning"


class RunConfig(SaveConfigCallback):
    """Keeps the whole configuration of a run: as config.yaml in its folder, in W&B, and as text in every checkpoint."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Sends the configuration to W&B, once."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update(yaml.safe_load(self._text()), allow_val_change=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds it to a checkpoint."""
        checkpoint[CONFIG_IN_CHECKPOINT] = self._text()

    def _text(self) -> str:
        text: str = self.parser.dump(self.config, skip_none=False)
        return text


class ExperimentCLI(LightningCLI):
    """LightningCLI over recognition tasks and video data modules.

    Args:
        args: Command line without the program's name; that of the process if not given.
        description: For --help.
    """

    description: ClassVar[str] = "Open-vocabulary video recognition with CLIP and Spatio-Temporal Descriptors."
    _resumed: Path | None = None
    _notes = CheckpointNotes()

    def __init__(self, args: ArgsType = None, description: str = description) -> None:
        try:
            super().__init__(
                RecognitionTask,
                VideoDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=RunConfig,
                save_config_kwargs={"overwrite": True},  # every run has a folder of its own
                seed_everything_default=0,
                trainer_defaults={"use_distributed_sampler": False},  # the data modules shard exactly by themselves
                auto_configure_optimizers=False,
                parser_kwargs={"description": description, "version": version("ost-lightning")},
                args=args,
            )
        except (MisconfigurationException, ValueError) as error:
            complaint = _complaint_of_lightning(error)
            if complaint is None:
                raise
            raise complaint from error

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Errors come out as exceptions, without the pages of usage."""
        return super().init_parser(exit_on_error=False, **kwargs)

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
        self.config = parser.parse_args(_with_experiments(sys.argv[1:] if args is None else list(args)))
        chosen = self.config[self.config["subcommand"]]
        if chosen["weights_only"] is None:
            chosen["weights_only"] = True

    def _parse_ckpt_path(self) -> None:
        """Leaves the configuration as the user gave it; Lightning would let the checkpoint's settings override it."""

    def before_instantiate_classes(self) -> None:
        """Looks at the checkpoint before anything heavy is loaded."""
        chosen = self.config[self.config["subcommand"]]
        if chosen.get("ckpt_path") in ("last", "best"):
            find = self._last_checkpoint if chosen["ckpt_path"] == "last" else _best_checkpoint
            chosen["ckpt_path"] = find(self._experiment_folder(chosen["tracking"], chosen["config"]))
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
            config = self._parser(self.subcommand).dump(chosen, skip_none=False)
            _tell_differences(yaml.safe_load(self._notes.config), yaml.safe_load(config))

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

    def instantiate_classes(self) -> None:
        """Lets the data follow the model."""
        super().instantiate_classes()
        if isinstance(self.model, RecognitionTask) and isinstance(self.datamodule, VideoDataModule):
            connect(self.model, self.datamodule, self._get(self.config, "data"))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the progress bar and the loggers, CSV first: its folder is the run's folder."""
        settings = self._get(self.config_init, "trainer")
        _refuse_unfit(settings, training=self.subcommand == "fit")
        given = settings["callbacks"] or []
        watching = [callbacks.ExactResume(), *([given] if isinstance(given, Callback) else given)]
        if settings["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in watching):
            watching.append(callbacks.VideoProgressBar(self._get(self.config_init, "throughput")))
        configured = settings["logger"]
        others: list[Logger] = (
            [configured] if isinstance(configured, Logger) else list(configured) if isinstance(configured, list) else []
        )
        plugins = settings["plugins"] or []
        return super().instantiate_trainer(
            logger=[*self._own_loggers(), *others],
            callbacks=watching,
            plugins=[*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()],
            strategy=_strategy(settings["strategy"]),
            **kwargs,
        )

    def _instantiate_trainer(self, config: dict[str, Any], extra: list[Callback]) -> Trainer:
        """Leaves out the run's checkpoint where the user wants none."""
        if config.get("enable_checkpointing") is False:
            extra = [callback for callback in extra if not isinstance(callback, ResumableCheckpoint)]
        return super()._instantiate_trainer(config, extra)

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs, and ends the run in W&B whatever happens; the next one in this process would be added to it."""
        failed = True
        try:
            super()._run_subcommand(subcommand)
            failed = False
        finally:
            if wandb.run is not None:
                wandb.finish(exit_code=int(failed))

    def _own_loggers(self) -> list[Logger]:
        tracking: Tracking = self._get(self.config_init, "tracking")
        experiment = self._experiment_folder(tracking, self._get(self.config, "config"))
        resumed = self._resumed
        table = MetricsTable(
            tracking.folder,
            experiment.name,
            version=version_of(resumed) if resumed else None,
            kept_rows=self._notes.metrics_rows if resumed else None,
        )
        if not tracking.wandb:
            return [table]
        experiment.mkdir(parents=True, exist_ok=True)
        make = partial(
            WandbLogger,
            name=f"{experiment.name}/{Path(table.log_dir).name}",
            project=tracking.project,
            save_dir=experiment,
            id=(self._notes.wandb_id if resumed else None) or secrets.token_hex(4),
        )
        # the agent of a sweep is logged in, and waits for the metrics
        online = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_SWEEP_ID")
        return [table, _reachable(make) if online else make(offline=True)]

    @staticmethod
    def _experiment_folder(tracking: Any, configs: Sequence[Any] | None) -> Path:
        """`{folder}/{name}`, from `Tracking` or the parser's view of it."""
        return Path(tracking.folder) / (tracking.name or (Path(str(configs[0])).stem if configs else "unnamed"))


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


def _complaint_of_lightning(error: Exception) -> UserError | None:
    """What Lightning itself complains of: settings of the trainer. None if it is another that raised the exception."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if not frame.f_globals["__name__"].startswith("lightning."):
        return None
    told = " ".join(str(error).split()).rstrip(".")
    return UserError(
        f"The trainer can't run with its settings: {told}. Change the setting that this is about (`ost fit --help` "
        "explains them; OST_TRACEBACK=1 shows where it came up)."
    )


def _refuse_unfit(settings: Mapping[str, Any], *, training: bool) -> None:
    """Looks for settings of the trainer that Lightning takes, or refuses without a hint, and that nothing can run with.

    Raises:
        UserError: If there is one.
    """
    if training and settings["precision"] in ("bf16-true", "16-true"):
        raise UserError(
            f"trainer.precision is {settings['precision']}: fine-tuning takes steps that weights of 16 bits round "
            "away. Set it to bf16-mixed; to test and predict, any precision will do."
        )
    if settings["barebones"]:
        raise UserError(
            "trainer.barebones is true, which leaves out the loggers, and with them a run's folder and results: leave "
            "it out. For training alone, set trainer.enable_checkpointing to false and trainer.limit_val_batches to 0."
        )
    if settings["accelerator"] == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(
            "trainer.accelerator is gpu, but PyTorch finds no GPU here: set it to cpu, or to auto for what there is; "
            "or install a PyTorch that fits the GPU's driver."
        )
    epochs = settings["check_val_every_n_epoch"]
    if epochs is not None and epochs < 1:
        raise UserError(
            f"trainer.check_val_every_n_epoch is {epochs}: it must be at least 1, or null to count batches alone. To "
            "leave out validation, set trainer.limit_val_batches to 0."
        )


def _strategy(given: str | Strategy) -> str | Strategy:
    """The strategy that a setting means: `fsdp` is our own.

    Raises:
        UserError: If it is another FSDP.
    """
    if given == "fsdp":
        return FSDP2Strategy()
    if isinstance(given, FSDPStrategy | ModelParallelStrategy) or str(given).startswith("fsdp"):
        name = given if isinstance(given, str) else type(given).__name__
        raise UserError(
            f"trainer.strategy is {name}, which does not know how to shard a recognition task: set it to fsdp."
        )
    return given


def _reachable(make: Callable[..., WandbLogger]) -> WandbLogger:
    """A logger that sends what is logged; one that keeps it, if W&B does not let it: a run is not lost for that."""
    logger = make(offline=False)
    try:
        _ = logger.experiment
    except (CommError, UsageError) as error:
        rank_zero_warn(
            f"W&B can't be reached ({str(error).splitlines()[0]}): the run is kept offline, and `wandb sync` sends it."
        )
        wandb.teardown()  # the failed attempt still holds the run's id
        return make(offline=True)
    return logger


def _with_experiments(args: Sequence[str]) -> list[str]:
    """Checks the files given with --config, and lets a name stand for an experiment that comes with the package.

    Raises:
        UserError: If there is no such file, or it is not YAML.
    """
    resolved: list[str] = []
    for arg in args:
        key, equals, value = arg.rpartition("=")
        if key in ("--config", "-c") or (resolved and resolved[-1] in ("--config", "-c")):
            resolved.append(f"{key}{equals}{_experiment_file(value if key else arg)}")
        else:
            resolved.append(arg)
    return resolved


def _experiment_file(name_or_path: str) -> Path:
    folder = shipped("experiments")
    file = next((path for path in (Path(name_or_path), folder / f"{name_or_path}.yaml") if path.is_file()), None)
    if file is None:
        files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
        known = ", ".join(
            sorted(str(path.with_suffix("")) for path in files if path.parts[0] not in ("ablations", "sweeps"))
        )
        raise UserError(
            f"There is no experiment file {name_or_path}. Expected a YAML file, or one that comes with the "
            f"package: {known}."
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{file}:{line}: not valid YAML ({error.problem}).") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise UserError(f"{file} holds {found}. Expected settings, as `model:` or `trainer:` with keys below them.")
    return file


def _tell_differences(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Tells where this run's model differs from the one that was trained."""
    trained, given = _flat(before["model"]), _flat(now["model"])
    for key in sorted(trained.keys() | given.keys()):
        if trained.get(key) != given.get(key):
            rank_zero_info(
                f"model.{key} is {given.get(key)} in this run; the checkpoint was trained with {trained.get(key)}"
            )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        key: value
        for name, part in tree.items()
        for key, value in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()
    }
