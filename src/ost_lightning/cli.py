"""The `ost` command: experiments (fit, validate, test, predict, ablate) and the tools beside them."""

import gc
import logging
import os
import shutil
import sys
import textwrap
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pkgutil import resolve_name
from typing import NoReturn

from ost_lightning.cli_errors import mistake_in, parse_error_as_mistake
from ost_lightning.cli_help import experiment_help, group_help, overview, unknown_command
from ost_lightning.errors import UserError
from ost_lightning.experiment.arguments import normalized, require_experiment
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.tools.parsing.arguments import HELP, how_to_call
from ost_lightning.tools.parsing.commands import ABLATION_MEAN, GROUPS, TOOLS, Tool
from ost_lightning.tools.parsing.parser import run_tool


def run(args: Sequence[str]) -> None:
    """Runs one command.

    Args:
        args: Command line without the program's name.

    Raises:
        UserError: If something given is wrong.
        SystemExit: With status 0, if help or a configuration was asked for.
    """
    command = args[0] if args else ""
    two_words = " ".join(args[:2])
    if command in HELP:
        _print_and_stop(overview())
    elif command == "--version":
        _print_and_stop(f"ost {version('ost-lightning')}")
    elif command == "ablate" and any(argument.partition("=")[0] == "--mean" for argument in args):
        _run_tool(ABLATION_MEAN, args[1:])
    elif command in EXPERIMENT_COMMANDS:
        _run_experiment(command, args)
    elif command in TOOLS:
        _run_tool(TOOLS[command], args[1:])
    elif two_words in TOOLS:
        _run_tool(TOOLS[two_words], args[2:])
    elif command in GROUPS and (len(args) == 1 or args[1] in HELP):
        _print_and_stop(group_help(command))
    else:
        raise unknown_command(args)


def _run_experiment(command: str, args: Sequence[str]) -> None:
    asked = [place for place, argument in enumerate(args) if argument in HELP]
    if asked and "all" not in args[asked[0] + 1 : asked[0] + 2]:
        _print_and_stop(experiment_help(command))
    require_experiment(f"ost {command}", args[1:])
    args = [command, "--help"] if asked else normalized(args)  # the cheap checks come before the imports
    with _importing():
        command_line = resolve_name(EXPERIMENT_COMMANDS[command].target)
    try:
        command_line(args)
    except ArgumentError as error:
        raise parse_error_as_mistake(error) from error


def _run_tool(tool: Tool, args: Sequence[str]) -> None:
    try:
        run_tool(tool, args)
    except ArgumentError as error:
        raise parse_error_as_mistake(error, how_to_call(tool)) from error


def _print_and_stop(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)


@contextmanager
def _importing() -> Iterator[None]:
    """Pauses garbage collection while much is imported: it takes a fifth of the time, and finds nothing.

    Afterwards what was imported is left out of collections altogether. Not so in a process that has worked before,
    whose garbage would be kept as well.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command; a user's mistake is reported in a paragraph, without a traceback unless OST_TRACEBACK is set.

    Args:
        args: Command line without the program's name; that of the process if not given.

    Returns:
        Exit status: 0, or 1 after a user's mistake.
    """
    _silence_what_no_user_can_act_on()
    try:
        run(sys.argv[1:] if args is None else args)
    except (UserError, ValueError) as error:
        mistake = mistake_in(error)
        if mistake is None or os.environ.get("OST_TRACEBACK"):
            raise
        columns = shutil.get_terminal_size().columns
        print(
            textwrap.fill(f"ost: {mistake}", columns, break_long_words=False, break_on_hyphens=False), file=sys.stderr
        )
        return 1
    return 0


def _silence_what_no_user_can_act_on() -> None:
    # Lightning 2.6 uses a deprecated PyTorch API
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    # Lightning advises to average accuracies, which are sums over all processes already
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self\.log\('(val|test)/")
    # Lightning recommends further packages of its makers at every start, and has no setting for that
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "try installing [lit" not in record.getMessage()


def entry_point() -> None:
    """The console script."""
    sys.exit(main())
