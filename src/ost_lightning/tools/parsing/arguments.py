"""A tool's command line as options of its function: what may be given by its place, as a flag, or as several values."""

import inspect
import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, get_args, get_origin

from ost_lightning.errors import UserError
from ost_lightning.experiment.arguments import split_option
from ost_lightning.renamed_settings import refuse_renamed_option
from ost_lightning.tools.parsing.commands import Tool

_TRUTH_VALUES: Final = frozenset({"true", "false", "yes", "no"})
HELP: Final = ("--help", "-h")


def positional(tool: Tool) -> list[str]:
    """Parameters without a default, which may be given without their names, in this order."""
    return [
        name
        for name, parameter in inspect.signature(tool.function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
    ]


def takes_several(tool: Tool, name: str) -> bool:
    """Whether a parameter takes a list of values."""
    parameter = inspect.signature(tool.function).parameters.get(name)
    return parameter is not None and get_origin(parameter.annotation) is Sequence


def usage(tool: Tool) -> str:
    """The command line in short: `ost convert SOURCE OUTPUT [options]`."""
    given = [f"{name.upper()}{' ...' if takes_several(tool, name) else ''}" for name in positional(tool)]
    parameters = inspect.signature(tool.function).parameters.values()
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            given.append(f"--{parameter.name} {parameter.name.upper()}")
    options = [] if len(parameters) == len(given) else ["[options]"]
    return " ".join(["ost", tool.name, *given, *options])


def as_options(tool: Tool, args: Sequence[str]) -> list[str]:
    """A command line with a name and a value for everything that it gives: `--name=value`.

    Args:
        tool: Whose command line it is.
        args: What stands behind the tool's name.

    Raises:
        UserError: If something can't be assigned to a parameter.
    """
    parameters = inspect.signature(tool.function).parameters
    options: list[str] = []
    unnamed: list[str] = []
    rest = list(args)
    while rest:
        argument = rest.pop(0)
        if argument in HELP:
            options.append("--help")
        elif not argument.startswith("--"):
            unnamed.append(argument)
        else:
            option, value = split_option(argument)
            name = option.removeprefix("--").split(".")[0].removesuffix("+")
            refuse_renamed_option(tool.name, option.removeprefix("--"), value)
            if name not in parameters:
                raise _unknown(tool, option)
            options.append(_named(tool, option, value, rest))
    given = {option.partition("=")[0].removeprefix("--") for option in options}
    wanted = [name for name in positional(tool) if name not in given]
    for name in wanted:
        several = takes_several(tool, name)
        values, unnamed = (unnamed, []) if several else (unnamed[:1], unnamed[1:])
        if values:
            options.append(f"--{name}={_several(tool, name, values) if several else values[0]}")
        elif "--help" not in options:
            raise UserError(f"`ost {tool.name}` lacks {name.upper()}. {how_to_call(tool)}")
    if unnamed:
        raise UserError(f"`ost {tool.name}` has no place for '{unnamed[0]}'. {how_to_call(tool)}")
    return options


def how_to_call(tool: Tool) -> str:
    """A sentence that says how a tool is called."""
    return f"The command is `{usage(tool)}`: `ost {tool.name} --help` explains it."


def _named(tool: Tool, option: str, value: str | None, rest: list[str]) -> str:
    """One option with its value, which is taken from the rest where it is separate."""
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
        count = next((place for place, word in enumerate(rest) if word.startswith("--")), len(rest))
        values, rest[:count] = rest[:count], []
        return f"{option}={_several(tool, name, values)}"
    if not following and not name.endswith(".help"):
        raise UserError(f"{option} of `ost {tool.name}` lacks a value. {how_to_call(tool)}")
    del rest[:1]
    return "=".join([option, *following])


def _several(tool: Tool, name: str, values: Sequence[str]) -> str:
    """Values as one list that the parser reads."""
    (kind,) = get_args(inspect.signature(tool.function).parameters[name].annotation)
    return f"[{', '.join(values)}]" if kind is int else json.dumps(list(values))


def _unknown(tool: Tool, option: str) -> UserError:
    close = get_close_matches(option, [f"--{name}" for name in inspect.signature(tool.function).parameters], n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return UserError(f"`ost {tool.name}` has no option {option}.{meant} {how_to_call(tool)}")
