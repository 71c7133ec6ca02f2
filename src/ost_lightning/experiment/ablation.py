"""The `ablate` command: a test that scores every row of an ablation table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from ost_lightning.callbacks import Ablation, ClassificationReport, PredictionWriter, WeightEnsembling
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.experiment.arguments import CONFIG, split_option
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.experiment.experiment_files import table_file, table_names
from ost_lightning.experiment.lightning_adapter import ExperimentTrainer

_TABLE: Final = "--table"
_REMOVED: Final = {one.__name__ for one in (WeightEnsembling, PredictionWriter, ClassificationReport)}
_DEFAULT_TABLE: Final = "table4"
_CACHE_GIGABYTES: Final = 10.0


class AblationTrainer(ExperimentTrainer):
    """Lightning's trainer with a method `ablate`, which LightningCLI turns into a subcommand."""

    def ablate(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> Any:
        """Runs a test without printing Lightning's table of metrics.

        Args:
            model: Recognition task.
            datamodule: Data module.
            ckpt_path: Checkpoint that training wrote; the pre-trained weights are scored if not given.
            weights_only: Whether the checkpoint is read as data only, never as code.
        """
        return self.test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=weights_only)


class AblationCLI(ExperimentCLI):
    """Command line of a test that scores the settings of an ablation table, configured under `ablation`.

    The table determines the mixtures of weights, and its rows are the result: the experiment's WeightEnsembling,
    PredictionWriter and ClassificationReport are removed.
    """

    trainer_type: ClassVar[type[Trainer]] = AblationTrainer

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Returns the only subcommand, with the arguments of its method that are not options."""
        return {"ablate": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--ablation`, `--table` and `--output`."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(Ablation, "ablation")
        parser.add_argument(
            _TABLE,
            default=_DEFAULT_TABLE,
            help=f"Rows of the table: a YAML file, or the name of a shipped table ({', '.join(table_names())}).",
        )
        parser.add_argument(
            "--output", type=Path | None, default=None, help="Folder for the results; the run's folder if not given."
        )
        parser.link_arguments("output", "ablation.folder")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses the command line with the table's file as an additional configuration file."""
        super().parse_arguments(parser, _with_table(list(args or [])))

    def before_instantiate_classes(self) -> None:
        """Removes the experiment's callbacks that belong to an ordinary test."""
        super().before_instantiate_classes()
        settings = self.config[self.subcommand]["trainer"]
        settings["callbacks"] = [
            callback
            for callback in settings["callbacks"] or []
            if callback["class_path"].rpartition(".")[2] not in _REMOVED
        ]

    def check_command(self, data: VideoDataModule) -> None:
        """Checks the rows of the table."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(Ablation, "ablation")
        settings: Any = Namespace(ablation=self.parsed_setting("ablation"))  # type: ignore[no-untyped-call] # jsonargparse doesn't annotate it
        ablation: Ablation = parser.instantiate(settings)["ablation"]
        ablation.check_settings(None if data.needs_preparation else list(data.evaluation_sets("test")))


def _with_table(args: Sequence[str]) -> list[str]:
    """Inserts the table's file and an embedding cache after the last --config, so that later options override them."""
    table, index = _DEFAULT_TABLE, 1
    for position, argument in enumerate(args):
        option, value = split_option(argument)
        following = args[position + 1] if position + 1 < len(args) else ""
        if option == _TABLE:
            table = following if value is None else value
        elif option in CONFIG:
            index = position + (2 if value is None else 1)
    if index == 1:  # help, or an experiment without --config, whose data class comes later
        return [*args[:1], f"--config={table_file(table)}", *args[1:]]
    added = [f"--config={table_file(table)}", f"--data.loading.embedding_cache_gigabytes={_CACHE_GIGABYTES:g}"]
    return [*args[:index], *added, *args[index:]]
