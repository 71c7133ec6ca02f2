"""User errors on the command line and in YAML, each reported in a paragraph."""

import difflib
import errno
import re
from argparse import ArgumentError
from pkgutil import resolve_name
from typing import Final

from jsonargparse import ArgumentParser

from ost_lightning.errors import UserError
from ost_lightning.experiment.settings_parser import UNKNOWN_OPTION

_NOISE: Final = re.compile(
    r"Does not validate against any of the Union subtypes|(Subtypes|Given value type): .*|Given value: "
    r"([{\[]|NestedArg|Namespace).*"
    r"|Errors:|- Expected a <class 'NoneType'>|Not of type Path: expected a path, but got (NestedArg|dict|Namespace)"
    r"|Subclass types expect one of:|- a (class path|dict) .*\(.*\)|- a dict with class_path entry|^\s*[- ]+(?=- )|-$"
)
_PREFIX: Final = re.compile(
    r"^(?:Parser key \"(?P<key>[\w.]+)\"(?: element \d+)?:\s*(?:Problem with given class_path '[\w.]+':\s*)?)+"
)
_KEY: Final = re.compile(r"Parser key \"([\w.]+)\"")
_HINT: Final = (
    "(`ost fit --print_config` shows all settings, `--model.help CLASS` and `--data.help CLASS` those of a class.)"
)
_CLASS: Final = re.compile(r"given class_path '([\w.]+)'")
_NO_CLASS: Final = re.compile(
    r"(?:Expected a dot import path string: |given class_path '(?=[\w.]+': No module named ))(?P<name>[\w.]+)"
)
_NOT_WRITABLE: Final = {
    errno.ENOSPC: "Free some space there",
    errno.EDQUOT: "Free some space there, or ask for a larger quota",
    errno.EFBIG: "Raise the limit on the size of files",
    errno.EROFS: "Choose another folder",
    errno.EACCES: "Check its permissions, or choose another",
    errno.EPERM: "Check its permissions, or choose another",
    errno.ENOTDIR: "A part of the path is a file: choose another",
    errno.ENAMETOOLONG: "Choose a shorter name",
}
"""Advice by the error number of the system."""
_CLASS_NOT_GIVEN: Final = re.compile(r'Parser key "(?P<key>model|data)": Not a valid subclass of ')
_PACKAGES: Final = ("callbacks", "datamodules", "matching", "models", "tasks")


def mistake_in(error: BaseException) -> UserError | None:
    """Returns the user error in an exception's chain of causes, since parsers wrap exceptions; None if not found.

    A full disk, or a file or folder that can't be written, is a user error too.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        if isinstance(cause, OSError) and cause.errno in _NOT_WRITABLE:
            where = f"{cause.filename}" if cause.filename else "a file"
            return UserError(f"Can't use {where}: {cause.strerror}. {_NOT_WRITABLE[cause.errno]}, and run it again.")
        cause = cause.__cause__
    return cause


def parse_error_as_mistake(error: ArgumentError, usage: str = "") -> UserError:
    """Returns a parser's error as a user error, without the noise of type unions and with the closest valid name.

    Args:
        error: Error raised by the parser.
        usage: Sentence with the usage of the command, for tools.
    """
    lines = (_NOISE.sub("", line).strip().removeprefix("- ") for line in str(error).splitlines())
    message = " ".join(line for line in lines if line.strip("- "))
    if incomplete := _CLASS_NOT_GIVEN.match(message):
        return UserError(
            f"No class is set for `{incomplete['key']}`. Give an experiment first, and overlays such as modes/lora "
            f"after it: `--config own_videos --config modes/lora`. {_HINT}"
        )
    prefix = _PREFIX.match(message)
    keys = ".".join(_KEY.findall(prefix.group())) if prefix else ""
    said = message[prefix.end() :] if prefix else message
    where = f"{keys}: " if keys else ""
    if missing := _NO_CLASS.search(message):
        names = {name for package in _PACKAGES for name in resolve_name(f"ost_lightning.{package}").__all__}
        known = sorted(name for name in names - {missing["name"]} if name[0].isupper())
        close = difflib.get_close_matches(missing["name"], known, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        return UserError(f"{where}there is no class {missing['name']}.{meant} {_HINT}")
    classes, unknown = _CLASS.findall(message), list(UNKNOWN_OPTION.finditer(message))
    said = f"{where}{said}".rstrip(".")
    if classes and unknown:
        option = ".".join(filter(None, unknown[-1].groups()))
        accepted = _accepted(classes[-1])
        close = difflib.get_close_matches(option, accepted, n=1, cutoff=0.5)
        said += f". Did you mean '{close[0]}'?" if close else f". It accepts: {', '.join(accepted)}."
    elif not usage and said.startswith("unrecognized arguments: ") and not unknown:
        said += ". Settings are options; a list of videos is given as --data.test LIST."
    elif not said.endswith("?"):
        said += "."
    if usage and not classes:
        said += f" {usage}"
    elif classes or unknown or keys:
        said += f" {_HINT}"
    return UserError(said)


def _accepted(class_path: str) -> list[str]:
    """Returns the settings of a class, including those it passes on to other classes; nested settings are dotted."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(resolve_name(class_path))
    settings = list(parser.get_defaults().keys())
    return [*dict.fromkeys(name.partition(".")[0] for name in settings), *(name for name in settings if "." in name)]
