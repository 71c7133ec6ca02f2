"""The `ost` command: experiments (fit, validate, test, predict) and the tools beside them."""

import gc
import inspect
import logging
import os
import shutil
import sys
import textwrap
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any, Final

from ost_lightning.cli_errors import mistake_in, parse_error_as_mistake, tool_usage
from ost_lightning.errors import UserError

TOOLS: Final[dict[str, Any]] = {
    "convert": "convert:convert",
    "data": {
        "_help": "Looks after lists of videos and the files that they name.",
        "check": "data:check",
        "fewshot": "lists:fewshot",
        "leak": "lists:leak",
        "shard": "video_files:shard",
        "stats": "data:stats",
        "transcode": "video_files:transcode",
    },
    "demo": "demo:demo",
    "descriptors": {
        "_help": "Spatio-Temporal Descriptors: generate, check, import, export, compare, measure.",
        "generate": "generation:generate",
        "check": "descriptors:check",
        "import": "descriptors:import_descriptors",
        "export": "descriptors:export",
        "diff": "descriptors:diff",
        "density": "density:density",
    },
    "results": "results:results",
    "toyworld": {
        "_help": "Renders videos of the toy world, or a picture of them.",
        "render": "toyworld:render",
        "sheet": "toyworld:sheet",
    },
}
"""Functions of ost_lightning.tools. One is imported when it is asked for: PyTorch and Lightning take seconds."""


def run(args: Sequence[str]) -> None:
    """Runs one command.

    Args:
        args: Command line without the program's name.

    Raises:
        UserError: If something given is wrong.
        SystemExit: If the command line can't be parsed (status 2), or asks for help (0).
    """
    command = args[0] if args else ""
    if command == "ablate":
        with _importing():
            from ost_lightning.tools.ablate import ablate
        ablate(args[1:])
    elif command in TOOLS:
        _run_tool(command, args)
    else:
        with _importing():
            from ost_lightning.experiment.cli import ExperimentCLI

            asked_for_help = command in ("", "-h", "--help")
            description = ExperimentCLI.description + (_other_commands() if asked_for_help else "")
        ExperimentCLI(list(args), description=description)


def _run_tool(command: str, args: Sequence[str]) -> None:
    with _importing():
        from jsonargparse import auto_cli

        tool = _resolved(TOOLS[command], args[1] if len(args) > 1 else "")
        if command == "results":
            from ost_lightning.tools.results import runs_as_one

            args = runs_as_one(args)
    try:
        auto_cli({command: tool}, args=[_underscored(arg) for arg in args], prog="ost", exit_on_error=False)
    except ArgumentError as error:
        chosen = tool.get(args[1]) if isinstance(tool, dict) and len(args) > 1 else tool
        name = " ".join(["ost", *args[: 2 if isinstance(tool, dict) else 1]])
        raise parse_error_as_mistake(error, tool_usage(name, chosen) if callable(chosen) else "") from error


def _resolved(tool: Any, asked_for: str) -> Any:
    """A tool's function, or a group of them: the one that is asked for, or all if there is none of that name."""
    if isinstance(tool, str):
        return resolve_name(f"ost_lightning.tools.{tool}")
    names = [asked_for] if asked_for in tool else list(tool)
    return {"_help": tool["_help"]} | {name: _resolved(tool[name], "") for name in names if name != "_help"}


@contextmanager
def _importing() -> Iterator[None]:
    """For imports of much: looking for garbage in what they leave takes a fifth of their time, and finds none.

    Afterwards it is left out of collections altogether. Not so in a program that has been at work before, whose garbage
    would be kept as well.
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


def _underscored(argument: str) -> str:
    """`--label-space` as `--label_space`: both are understood."""
    option, equals, value = argument.partition("=")
    return f"--{option[2:].replace('-', '_')}{equals}{value}" if option.startswith("--") else argument


def _other_commands() -> str:
    """What `ost --help` says of the tools: LightningCLI lists its subcommands by itself."""
    told = []
    for name, tool in sorted({**TOOLS, "ablate": "ablate:ablate"}.items()):
        what = tool["_help"] if isinstance(tool, dict) else (inspect.getdoc(_resolved(tool, "")) or "").split("\n")[0]
        told.append(f"`ost {name}`: {what.rstrip('.')}")
    return f" Beside the subcommands below there are {'; '.join(told)}."


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
