"""The `ablate` subcommand: a test that scores every row of an ablation table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from ost_lightning.callbacks import Ablation, WeightEnsembling
from ost_lightning.experiment.arguments import CONFIG, split_option
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.experiment.experiment_files import table_file, table_names

_TABLE: Final = "--table"
_DEFAULT_TABLE: Final = "table4"
_CACHE_GIGABYTES: Final = 10.0


class AblationTrainer(Trainer):
    """Lightning's trainer, with the `ablate` method that LightningCLI makes a subcommand of."""

    def ablate(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> Any:
        """Tests, without Lightning's own table of metrics.

        Args:
            model: The task.
            datamodule: The data.
            ckpt_path: Checkpoint of a training; without it the pre-trained weights are scored.
            weights_only: Whether the checkpoint is read as data only, never as code.
        """
        return self.test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=weights_only)


class AblationCLI(ExperimentCLI):
    """A test that scores the settings of an ablation table; the table is configured under `ablation`.

    The table decides on the mixtures of weights: those that the experiment would score beside it are left out.
    """

    trainer_type: ClassVar[type[Trainer]] = AblationTrainer

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The one subcommand, with the arguments of its method that are not options."""
        return {"ablate": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--ablation`, `--table` and `--output`."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(Ablation, "ablation")
        parser.add_argument(
            _TABLE,
            default=_DEFAULT_TABLE,
            help=f"Rows of the table: a YAML file, or the name of one that comes with the package "
            f"({', '.join(table_names())}).",
        )
        parser.add_argument(
            "--output", type=Path | None, default=None, help="Folder for the results; the run's folder if not given."
        )
        parser.link_arguments("output", "ablation.folder")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, with the table's file as one more configuration file."""
        super().parse_arguments(parser, _with_table(list(args or [])))

    def before_instantiate_classes(self) -> None:
        """Leaves out what the experiment scores beside the table."""
        super().before_instantiate_classes()
        settings = self.config[self.subcommand]["trainer"]
        settings["callbacks"] = [
            callback
            for callback in settings["callbacks"] or []
            if callback["class_path"].rpartition(".")[2] != WeightEnsembling.__name__
        ]


def _with_table(args: Sequence[str]) -> list[str]:
    """The command line with the table's file, and a disk cache, behind its last --config; what comes later prevails."""
    table, behind = _DEFAULT_TABLE, 1
    for place, argument in enumerate(args):
        option, value = split_option(argument)
        following = args[place + 1] if place + 1 < len(args) else ""
        if option == _TABLE:
            table = following if value is None else value
        elif option in CONFIG:
            behind = place + (2 if value is None else 1)
    if behind == 1:  # help, or an experiment of options alone, whose class of data comes later
        return [*args[:1], f"--config={table_file(table)}", *args[1:]]
    added = [f"--config={table_file(table)}", f"--data.loading.embedding_cache_gigabytes={_CACHE_GIGABYTES:g}"]
    return [*args[:behind], *added, *args[behind:]]
