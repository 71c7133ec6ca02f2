"""`ost ablate`: a table of matchers, sentences and weights, with every video encoded once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from ost_lightning.analysis import AblationTable, mean_of
from ost_lightning.callbacks import Ablation, WeightEnsembling
from ost_lightning.errors import UserError
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.resources import shipped

_FOLDER: Final = "ablations"
_EPILOG: Final = """\
Anything else is passed on as a setting of the experiment, as for `ost test`:
  --data.draw=1  --data.loading.on_decode_error=count  --trainer.accelerator=gpu

examples:
  ost ablate --config toyworld                             the pre-trained weights
  ost ablate --config toyworld --ckpt runs/toyworld/version_0/checkpoints/last.ckpt
  ost ablate --config toyworld --table my_table.yaml       rows of your own
  ost ablate --mean runs/toyworld/version_*/ablation.json --output runs/mean
"""


class AblationCLI(ExperimentCLI):
    """A test that scores the settings of an ablation table; the table is configured under `ablation`.

    The table decides on the mixtures of weights: those that the experiment would score beside it are left out.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--ablation`."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(Ablation, "ablation")

    def before_instantiate_classes(self) -> None:
        """Leaves out what the experiment scores beside the table."""
        super().before_instantiate_classes()
        settings = self.config[self.subcommand]["trainer"]
        settings["callbacks"] = [
            callback
            for callback in settings["callbacks"] or []
            if callback["class_path"].rpartition(".")[2] != WeightEnsembling.__name__
        ]


def ablate(args: Sequence[str]) -> None:
    """Scores matchers, descriptors, sentences and ensembling ratios of a table in one pass over the videos.

    Args:
        args: Command line after `ost ablate`.

    Raises:
        UserError: If something given is wrong.
    """
    options, settings = _parser().parse_known_args(list(args))
    if options.mean:
        if settings:
            raise UserError(f"--mean only reads earlier tables: {settings[0]} has no place beside it.")
        table = mean_of([AblationTable.load(file) for file in options.mean])
        if options.output is not None:
            table.save(options.output)
        print(table.markdown())
        return
    if not options.config:
        raise UserError("An ablation needs an experiment: `ost ablate --config toyworld`, or `ost ablate --help`.")
    AblationCLI(
        [
            "test",
            *(f"--config={config}" for config in options.config),
            f"--config={_table_file(options.table)}",
            "--verbose=false",
            f"--data.loading.embedding_cache_gigabytes={options.cache_gigabytes:g}",
            *([f"--ckpt_path={options.ckpt}"] if options.ckpt else []),
            *([f"--ablation.folder={options.output}"] if options.output else []),
            *settings,
        ]
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A mistake is told as everywhere, without the usage."""
        raise UserError(f"ost ablate: {message}. See `ost ablate --help`.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ost ablate",
        description="Scores the rows of an ablation table in one pass: every video is decoded and encoded once for "
        "each set of weights, and not at all if it has been before. Prints the table beside the published figures, "
        "and writes it to the run's folder.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-c", "--config", action="append", help="experiment: a YAML file or the name of one; repeatable"
    )
    parser.add_argument("--ckpt", help="checkpoint of a training; without it the pre-trained weights are scored")
    tables = ", ".join(_tables())
    parser.add_argument(
        "--table", default="table4", help=f"rows: a YAML file, or one of {tables}; default: %(default)s"
    )
    parser.add_argument("--output", type=Path, help="folder for the results; default: the run's")
    parser.add_argument(
        "--cache_gigabytes",
        type=float,
        default=10.0,
        help="size of the disk cache of frame embeddings in $OST_CACHE, 0 for none; default: %(default)s",
    )
    parser.add_argument(
        "--mean",
        type=Path,
        nargs="+",
        metavar="JSON",
        help="no evaluation: mean and standard deviation of earlier runs (ablation.json), as of seeds, draws or splits",
    )
    return parser


def _tables() -> list[str]:
    return sorted(path.stem for path in (shipped("experiments") / _FOLDER).glob("*.yaml"))


def _table_file(name_or_path: str) -> Path:
    for path in (Path(name_or_path), shipped("experiments") / _FOLDER / f"{name_or_path}.yaml"):
        if path.is_file():
            return path
    raise UserError(
        f"There is no ablation table {name_or_path}. Expected a YAML file, or one that comes with the package: "
        f"{', '.join(_tables())}."
    )
