"""User errors on the command line and in YAML, each reported in a paragraph."""

import difflib
import errno
import re
from argparse import ArgumentError
from pkgutil import resolve_name
from typing import Final

from jsonargparse import ArgumentParser

from ost_lightning.errors import UserError

_NOISE: Final = re.compile(
    r"Does not validate against any of the Union subtypes|(Subtypes|Given value type): .*|Given value: "
    r"([{\[]|NestedArg|Namespace).*"
    r"|Errors:|- Expected a <class 'NoneType'>|-$"
)
_HINT: Final = (
    "(`ost fit --print_config` shows all settings, `--model.help CLASS` and `--data.help CLASS` those of a class.)"
)
_CLASS: Final = re.compile(r"given class_path '([\w.]+)'")
_NO_CLASS: Final = re.compile(r":? Expected a path but (?P<name>[\w.]+) either not accessible or invalid")
_CLASS_NOT_GIVEN: Final = re.compile(
    r'Parser key "(?P<key>model|data)": Not a valid subclass of \w+ Subclass types expect'
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
_PACKAGES: Final = ("callbacks", "datamodules", "matching", "models", "tasks")
_UNKNOWN: Final = re.compile(
    r"(?:Group '(?P<group>[\w.]+)' does not accept option |Option |unrecognized arguments: --)'?(?P<option>[\w.]+)"
)


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
    message = " ".join(line for line in lines if line)
    if missing := _NO_CLASS.search(message):
        known = [name for package in _PACKAGES for name in resolve_name(f"ost_lightning.{package}").__all__]
        close = difflib.get_close_matches(missing["name"], [name for name in known if name[0].isupper()], n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        return UserError(f"{message[: missing.start()]}: there is no class {missing['name']}.{meant} {_HINT}")
    if incomplete := _CLASS_NOT_GIVEN.match(message):
        return UserError(
            f"No class is set for `{incomplete['key']}`. Give an experiment first, and overlays such as modes/lora "
            f"after it: `--config own_videos --config modes/lora`. {_HINT}"
        )
    classes, unknown = _CLASS.findall(message), _UNKNOWN.search(message)
    if classes and unknown:
        option = ".".join(part for part in (unknown["group"], unknown["option"]) if part)
        accepted = _accepted(classes[-1])
        close = difflib.get_close_matches(option, accepted, n=1, cutoff=0.5)
        message += f". Did you mean '{close[0]}'?" if close else f". It accepts: {', '.join(accepted)}."
    if usage and not classes:
        message += f". {usage}"
    elif classes or unknown or "Parser key" in message:
        message += f" {_HINT}"
    return UserError(message)


def _accepted(class_path: str) -> list[str]:
    """Returns the settings of a class, including those it passes on to other classes; nested settings are dotted."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(resolve_name(class_path))
    settings = list(parser.get_defaults().keys())
    return [*dict.fromkeys(name.partition(".")[0] for name in settings), *(name for name in settings if "." in name)]
