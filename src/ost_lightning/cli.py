"""The `ost` command: experiments (fit, validate, test, predict) and the tools beside them."""

import inspect
import logging
import os
import shutil
import sys
import textwrap
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from typing import Any, Final

from jsonargparse import auto_cli

from ost_lightning.cli_errors import mistake_in, parse_error_as_mistake
from ost_lightning.errors import UserError
from ost_lightning.experiment import ExperimentCLI
from ost_lightning.tools import data, descriptors, generation, toyworld, video_files
from ost_lightning.tools.ablate import ablate
from ost_lightning.tools.convert import convert
from ost_lightning.tools.demo import demo
from ost_lightning.tools.results import results, runs_as_one

TOOLS: Final[dict[str, Any]] = {
    "convert": convert,
    "data": {
        "_help": "Looks after lists of videos and the files that they name.",
        "check": data.check,
        "fewshot": data.fewshot,
        "leak": data.leak,
        "shard": video_files.shard,
        "stats": data.stats,
        "transcode": video_files.transcode,
    },
    "demo": demo,
    "descriptors": {
        "_help": "Spatio-Temporal Descriptors: generate, check, import, export, compare, measure.",
        "generate": generation.generate,
        "check": descriptors.check,
        "import": descriptors.import_descriptors,
        "export": descriptors.export,
        "diff": descriptors.diff,
        "density": descriptors.density,
    },
    "results": results,
    "toyworld": {
        "_help": "The rendered world and its tiny CLIP.",
        "pretrain": toyworld.pretrain,
        "render": toyworld.render,
        "sheet": toyworld.sheet,
    },
}


def run(args: Sequence[str]) -> None:
    """Runs one command.

    Args:
        args: Command line without the program's name.

    Raises:
        UserError: If something given is wrong.
        SystemExit: If the command line can't be parsed (status 2), or asks for help (0).
    """
    if args and args[0] == "ablate":
        ablate(args[1:])
    elif args and args[0] in TOOLS:
        given = runs_as_one(args) if args[0] == "results" else args
        auto_cli(TOOLS, args=[_underscored(argument) for argument in given], prog="ost", exit_on_error=False)
    else:
        ExperimentCLI(list(args), description=_description())


def _underscored(argument: str) -> str:
    """`--label-space` as `--label_space`: both are understood."""
    option, equals, value = argument.partition("=")
    return f"--{option[2:].replace('-', '_')}{equals}{value}" if option.startswith("--") else argument


def _description() -> str:
    """What `ost --help` says: LightningCLI lists its subcommands by itself, not the tools."""
    told = []
    for name, tool in sorted({**TOOLS, "ablate": ablate}.items()):
        what: str = tool["_help"] if isinstance(tool, dict) else (inspect.getdoc(tool) or "").split("\n")[0]
        told.append(f"`ost {name}`: {what.rstrip('.')}")
    return f"{ExperimentCLI.description} Beside the subcommands below there are {'; '.join(told)}."


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command, with mistakes told in a paragraph instead of a traceback (OST_TRACEBACK=1 shows that too).

    Args:
        args: Command line without the program's name; that of the process if not given.

    Returns:
        Exit status: 0, or 1 after a user's mistake.
    """
    # Lightning 2.6 asks PyTorch in a way that it is about to drop; no user can do anything about it
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    # nor about its advice to average accuracies, which are sums over all processes already
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self\.log\('(val|test)/")
    # it also recommends further packages of its makers at every start, and has no setting for that
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    try:
        run(sys.argv[1:] if args is None else args)
    except (UserError, ArgumentError, ValueError) as error:
        mistake = parse_error_as_mistake(error) if isinstance(error, ArgumentError) else mistake_in(error)
        if mistake is None or os.environ.get("OST_TRACEBACK"):
            raise
        columns = shutil.get_terminal_size().columns
        print(
            textwrap.fill(f"ost: {mistake}", columns, break_long_words=False, break_on_hyphens=False), file=sys.stderr
        )
        return 1
    return 0


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "try installing [lit" not in record.getMessage()


def entry_point() -> None:
    """The console script."""
    sys.exit(main())
