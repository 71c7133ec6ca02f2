"""The `ost` command: experiments (fit, validate, test, predict, ablate) and tools."""

import gc
import logging
import os
import shutil
import signal
import sys
import textwrap
import traceback
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from io import TextIOWrapper
from types import TracebackType
from typing import Final, NoReturn, TextIO

from ost_lightning.characters import escaped
from ost_lightning.cli_errors import mistake_in, parse_error_as_mistake
from ost_lightning.cli_help import experiment_help, group_help, overview, unknown_command
from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.experiment.arguments import normalized, require_experiment
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.lean_imports.deferred_torchmetrics import defer_torchmetrics
from ost_lightning.lean_imports.stand_ins import collection_paused, resolve_without_compiler
from ost_lightning.tools.parsing.arguments import HELP, usage_hint
from ost_lightning.tools.parsing.commands import ABLATION_MEAN, GROUPS, TOOLS, Tool
from ost_lightning.tools.parsing.parser import run_tool

_INTERRUPTED: Final = 128 + signal.SIGINT
_IRRELEVANT: Final = (
    "try installing [lit",  # an advertisement
    "TPU available:",
    "HPU available:",
    "Loading `train_dataloader` to estimate",
    "Restoring states from the checkpoint path at",  # another message says so afterwards
    "Trainer already configured with model summary callbacks",
)
"""Words of Lightning's messages that are not printed."""


def run(args: Sequence[str]) -> None:
    """Runs one command.

    Args:
        args: Command line without the program's name.

    Raises:
        UserError: If an option, file or setting is wrong.
        SystemExit: With status 0, if help or a configuration was requested.
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
    help_index = next((index for index, argument in enumerate(args) if argument in HELP), None)
    if help_index is not None and "all" not in args[help_index + 1 : help_index + 2]:
        _print_and_stop(experiment_help(command))
    require_experiment(f"ost {command}", args[1:])
    # cheap checks first: the imports below take seconds
    args = normalized(args) if help_index is None else [command, "--help"]
    defer_torchmetrics()
    with _fast_imports():
        command_line = resolve_without_compiler(EXPERIMENT_COMMANDS[command].target)
    try:
        command_line(args)
    except ArgumentError as error:
        raise parse_error_as_mistake(error) from error


def _run_tool(tool: Tool, args: Sequence[str]) -> None:
    try:
        run_tool(tool, args)
    except ArgumentError as error:
        raise parse_error_as_mistake(error, usage_hint(tool)) from error


def _print_and_stop(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)


@contextmanager
def _fast_imports() -> Iterator[None]:
    """Pauses garbage collection during imports, and excludes the imported objects from it afterwards.

    If PyTorch is already imported, nothing changes: the process may have worked before, and its garbage would never be
    collected.
    """
    if "torch" in sys.modules:
        yield
        return
    with collection_paused():
        yield
        gc.freeze()


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command; user errors are reported in a paragraph, without a traceback unless OST_TRACEBACK is set.

    Args:
        args: Command line without the program's name; the process's command line if not given.

    Returns:
        Exit status: 0, 1 after a user error, or 130 after Ctrl-C.
    """
    _silence_irrelevant_messages()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not be text in the terminal's encoding
    try:
        run(sys.argv[1:] if args is None else args)
    except (UserError, ValueError, OSError) as error:
        mistake = mistake_in(error)
        if mistake is None or os.environ.get("OST_TRACEBACK"):
            raise
        columns = shutil.get_terminal_size().columns
        message = "\n".join(map(escaped, f"ost: {mistake}".split("\n")))
        print(textwrap.fill(message, columns, break_long_words=False, break_on_hyphens=False), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if os.environ.get("OST_TRACEBACK"):
            raise
        print("\nost: interrupted.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _silence_irrelevant_messages() -> None:
    """Silences warnings and messages that users can't act on."""
    # Lightning 2.6 uses a deprecated PyTorch API
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    # Lightning recommends averaging accuracies over processes, but they are computed from global sums already
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self\.log\('(val|test)/")
    # a run without a validation set
    warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")
    # wrong: the interval is counted across epochs
    warnings.filterwarnings("ignore", message=r"The number of training batches \(\d+\) is smaller than the logging")
    # printed for every loader
    warnings.filterwarnings("once", message=r"This DataLoader will create \d+ worker processes")
    # Lightning has no setting to turn these off
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(words in message for words in _IRRELEVANT)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Shows a warning for users as a sentence, and any other one with the line of code that gives it."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, UserWarning):
        text = f"warning: {escaped(str(message).strip())}\n"
    (file or sys.stderr).write(text)


def entry_point() -> None:
    """Runs the console script `ost`."""
    sys.excepthook = _print_traceback
    warnings.showwarning = _show_warning
    sys.exit(main())


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints an unexpected exception as Python does, but without the passwords of URLs."""
    print(without_passwords("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)
