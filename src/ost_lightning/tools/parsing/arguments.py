"""Conversion of a tool's command line to options: positional arguments, switches and lists of values."""

import inspect
import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, get_args, get_origin

from ost_lightning.errors import UserError
from ost_lightning.experiment.arguments import split_option
from ost_lightning.files import is_utf8
from ost_lightning.renamed_settings import reject_renamed_option
from ost_lightning.tools.parsing.commands import Tool

_TRUTH_VALUES: Final = frozenset({"true", "false", "yes", "no"})
_BASIC: Final = 0xFFFF
"""Last character that JSON escapes by one code."""
_LETTER: Final = re.compile("-[a-z]")
HELP: Final = ("--help", "-h")


def spelling(parameter: str) -> str:
    """Returns the name of a parameter's option: `class_` is `--class`, a keyword of Python."""
    return parameter.removesuffix("_")


def positional(tool: Tool) -> list[str]:
    """Returns the parameters that may be given by position, in order: those without a default, or with no values."""
    return [
        name
        for name, parameter in inspect.signature(tool.function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default in (parameter.empty, ())
    ]


def _may_be_empty(tool: Tool, name: str) -> bool:
    return bool(inspect.signature(tool.function).parameters[name].default == ())


def takes_several(tool: Tool, name: str) -> bool:
    """Returns whether a parameter takes a list of values."""
    parameter = inspect.signature(tool.function).parameters.get(name)
    return parameter is not None and get_origin(parameter.annotation) is Sequence


def usage(tool: Tool) -> str:
    """Returns the usage line, such as `ost convert SOURCE OUTPUT [options]`."""
    required = [_in_usage(tool, name) for name in positional(tool)]
    parameters = inspect.signature(tool.function).parameters.values()
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            required.append(f"--{parameter.name} {parameter.name.upper()}")
    options = [] if len(parameters) == len(required) else ["[options]"]
    return " ".join(["ost", tool.name, *required, *options])


def _in_usage(tool: Tool, name: str) -> str:
    text = f"{name.upper()}{' ...' if takes_several(tool, name) else ''}"
    return f"[{text}]" if _may_be_empty(tool, name) else text


def as_options(tool: Tool, args: Sequence[str]) -> list[str]:
    """Returns a command line in which every argument has the form `--name=value`.

    Args:
        tool: Tool that the command line belongs to.
        args: Command line after the tool's name.

    Raises:
        UserError: If an argument can't be assigned to a parameter, or a required one is missing.
    """
    parameters = inspect.signature(tool.function).parameters
    options: list[str] = []
    unnamed: list[str] = []
    rest = list(args)
    while rest:
        argument = rest.pop(0)
        if _LETTER.fullmatch(argument) and argument[1] in parameters:
            argument = f"-{argument}"  # -n 20
        if argument in HELP:
            options.append("--help")
        elif not argument.startswith("--"):
            unnamed.append(argument)
        else:
            option, value = split_option(argument)
            name = option.removeprefix("--").split(".")[0].removesuffix("+")
            reject_renamed_option(tool.name, option.removeprefix("--"), value)
            if name not in map(spelling, parameters):
                raise _unknown(tool, option)
            options.append(_named(tool, option, value, rest))
    named = {option.partition("=")[0].removeprefix("--") for option in options}
    for name in (name for name in positional(tool) if name not in named):
        several = takes_several(tool, name)
        values, unnamed = (unnamed, []) if several else (unnamed[:1], unnamed[1:])
        if values:
            options.append(f"--{name}={_several(tool, name, values) if several else values[0]}")
        elif "--help" not in options and not _may_be_empty(tool, name):
            raise UserError(f"`ost {tool.name}` requires {name.upper()}. {usage_hint(tool)}")
    if unnamed:
        raise UserError(f"`ost {tool.name}` got the unexpected argument '{unnamed[0]}'. {usage_hint(tool)}")
    return options


def usage_hint(tool: Tool) -> str:
    """Returns a sentence with the usage of a tool."""
    return f"Usage: `{usage(tool)}`. `ost {tool.name} --help` explains the options."


def _named(tool: Tool, option: str, value: str | None, rest: list[str]) -> str:
    """Returns one option with its value; a separate value is removed from the rest of the command line."""
    name = option.removeprefix("--")
    parameter = inspect.signature(tool.function).parameters.get(name)
    if value is not None:
        return f"{option}={value}"
    following = [] if not rest or rest[0].startswith("--") else rest[:1]
    if parameter is not None and parameter.annotation is bool:
        following = [word for word in following if word.lower() in _TRUTH_VALUES]
        del rest[: len(following)]
        return f"{option}={following[0] if following else 'true'}"
    if following and takes_several(tool, name) and not following[0].startswith("["):
        count = next((index for index, word in enumerate(rest) if word.startswith("--")), len(rest))
        values, rest[:count] = rest[:count], []
        return f"{option}={_several(tool, name, values)}"
    if not following and not name.endswith(".help"):
        raise UserError(f"The option {option} of `ost {tool.name}` requires a value. {usage_hint(tool)}")
    del rest[:1]
    return "=".join([option, *following])


def _several(tool: Tool, name: str, values: Sequence[str]) -> str:
    """Returns values as one list in the parser's syntax."""
    (type_,) = get_args(inspect.signature(tool.function).parameters[name].annotation)
    return f"[{', '.join(values)}]" if type_ is int else f"[{', '.join(map(_quoted, values))}]"


def _quoted(text: str) -> str:
    """Returns a text in quotes for YAML, which knows no escapes of surrogates, and no DEL in the open."""
    plain = (
        character if ord(character) > _BASIC or not is_utf8(character) else json.dumps(character)[1:-1]
        for character in text
    )
    return f'"{"".join(plain)}"'.replace("\x7f", r"\u007f")


def _unknown(tool: Tool, option: str) -> UserError:
    close = get_close_matches(
        option, [f"--{spelling(name)}" for name in inspect.signature(tool.function).parameters], n=1
    )
    meant = f" Did you mean {close[0]}?" if close else ""
    return UserError(f"`ost {tool.name}` has no option {option}.{meant} {usage_hint(tool)}")
