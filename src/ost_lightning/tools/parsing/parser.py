"""Execution of a tool: jsonargparse parses the command line by the signature of the tool's function."""

import inspect
import re
from argparse import Action
from collections.abc import Sequence
from typing import Any, Final

from docstring_parser import parse as parse_docstring
from jsonargparse import DefaultHelpFormatter

from ost_lightning.experiment.settings_parser import SettingsParser
from ost_lightning.tools.parsing.arguments import HELP, as_options, spelling, takes_several, usage
from ost_lightning.tools.parsing.commands import Tool

_SPELLING: Final = (
    "Options may be written with hyphens instead of underscores, and a switch without a value means true. Positional "
    "arguments may be given as options too."
)


class _PlainTypes(DefaultHelpFormatter):
    """Help with the names of types: jsonargparse prints a class by itself as `<class 'Path'>`."""

    def _get_type_str(self, action: Action) -> str | None:
        described = super()._get_type_str(action)
        return described and re.sub(r"<class '(\w+)'>", r"\1", described)


def run_tool(tool: Tool, args: Sequence[str]) -> None:
    """Parses a tool's command line and calls its function.

    Args:
        tool: Tool to run.
        args: Command line after the tool's name.

    Raises:
        UserError: If an option, file or value is wrong.
        ArgumentError: If a value can't be parsed.
        SystemExit: With status 0, if help was requested.
    """
    options = as_options(tool, args)
    parser = tool_parser(tool, for_help=any(argument in HELP for argument in args))
    values = parser.instantiate(parser.parse_args(options))
    tool.function(**{name: values[spelling(name)] for name in inspect.signature(tool.function).parameters})


def tool_parser(tool: Tool, *, for_help: bool = False) -> SettingsParser:
    """Creates the parser of a tool.

    Quoted annotations name types that take seconds to import; they are imported for parsing, but not for help.

    Args:
        tool: Tool whose command line is parsed.
        for_help: Whether the parser only prints help.
    """
    function = tool.function
    described = parse_docstring(inspect.getdoc(function) or "")
    parser = SettingsParser(
        prog=f"ost {tool.name}",
        usage=usage(tool),
        description=described.description,
        epilog=f"Example: `{tool.example}`. {_SPELLING}",
        formatter_class=_PlainTypes,
        exit_on_error=False,
    )
    parameters = inspect.signature(function).parameters
    texts = {entry.arg_name: entry.description for entry in described.params}
    quoted = [name for name in parameters if isinstance(parameters[name].annotation, str)]
    for name, parameter in parameters.items():
        option: dict[str, Any] = {"help": texts[name]}
        if parameter.default is parameter.empty:
            option["required"] = True
        else:
            option["default"] = parameter.default
        if for_help and takes_several(tool, name):
            parser.add_argument(f"--{name}", nargs="+", metavar="VALUE", **option)
        elif name not in quoted:
            parser.add_argument(f"--{spelling(name)}", type=parameter.annotation, **option)
        elif for_help:
            parser.add_argument(f"--{name}", metavar="CLASS", **option)
    if quoted and not for_help:
        others: set[str | int] = {name for name in parameters if name not in quoted}
        parser.add_function_arguments(function, as_group=False, skip=others)
    return parser
