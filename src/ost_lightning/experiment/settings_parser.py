"""Adapter to jsonargparse, the only module that uses its private names: a parser whose options never read files.

Left alone, jsonargparse takes any value that names an existing file for a file of settings. A list of videos in place
of a setting would be parsed as YAML, and its contents would end up in an error message.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader
from jsonargparse._actions import _ActionConfigLoad
from jsonargparse._core import ArgumentGroup
from jsonargparse.typing import register_type

UNKNOWN_OPTION: Final = re.compile(
    r"(?:Group '([\w.]+)' does not accept option |Subcommand '\w+' does not accept option |Option |"
    r"unrecognized arguments: --)'?([\w.-]+)"
)
"""Group, if any, and name of an unknown option in an error message of the parser."""
_BYTES: Final = range(0xDC80, 0xDD00)
"""Characters that stand for bytes of file names which are not UTF-8; YAML doesn't know them."""
_PRIVATE: Final = range(0xF0000, 0xFFF80, len(_BYTES))
"""Beginnings of blocks of characters that have no meaning, but are allowed in YAML."""
_PYTHON_NULL: Final = "=None"


class _InlineSettings(_ActionConfigLoad):
    """Option of a group of settings, such as `--trainer '{max_epochs: 3}'`."""

    def _load_config(self, value: Any, parser: Any) -> Any:
        if isinstance(value, str) and Path(value).is_file():
            raise TypeError(
                f"`{self.dest}` is a group of settings, not the file {value}. Give settings in a file with --config."
            )
        return super()._load_config(value, parser)  # type: ignore[no-untyped-call]


class _WithoutFiles:
    """Mixin for parsers and groups, whose options take settings but not files of settings."""

    def _add_signature_parameter(self, *args: Any, **kwargs: Any) -> None:
        super()._add_signature_parameter(*args, **(kwargs | {"sub_configs": False}))  # type: ignore[misc]

    def _create_group_if_requested(self, *args: Any, **kwargs: Any) -> Any:
        group = super()._create_group_if_requested(*args, **kwargs)  # type: ignore[misc]
        for action in group._group_actions if group is not self else ():
            if type(action) is _ActionConfigLoad:
                action.__class__ = _InlineSettings
        return group


class _SettingsGroup(_WithoutFiles, ArgumentGroup):
    pass


class SettingsParser(_WithoutFiles, ArgumentParser):
    """Parser whose options take settings, but not files of settings; only `--config` reads files."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # an abbreviation would mean something else as soon as a setting with the same beginning is added
        super().__init__(*args, **{"allow_abbrev": False} | kwargs)
        self._group_class = _SettingsGroup

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Parses arguments; those of a class within a class keep their `null`.

        jsonargparse passes an option of such a class on as text, in which `null` has become `None`.
        """
        if args is not None and getattr(self, "_inner_parser", False):
            args = [f"{arg.removesuffix(_PYTHON_NULL)}=null" if arg.endswith(_PYTHON_NULL) else arg for arg in args]
        return super().parse_args(args, *rest, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises an error about the command line or a file, with the known option that is closest to an unknown one.

        Raises:
            ArgumentError: Always.
        """
        # errors pass through several parsers; for those of classes, the caller knows the settings
        of_class = getattr(self, "_inner_parser", False)
        unknown = None if of_class or "Did you mean" in message else UNKNOWN_OPTION.match(message)
        meant = self._closest(".".join(filter(None, unknown.groups()))) if unknown else None
        super().error(f"{message}. Did you mean --{meant}?" if meant else message, ex)

    def _closest(self, option: str) -> str | None:
        """Returns the closest option of this parser and of its commands, which may be one of a group of settings."""
        commands = self._subcommands_action
        parsers = [self, *(commands._name_parser_map.values() if commands is not None else ())]
        known = {name[2:] for parser in parsers for name in parser._option_string_actions if name.startswith("--")}
        group, dot, setting = option.partition(".")
        groups = {name.partition(".")[0] for name in known}
        if group not in groups:
            return next((name + dot + setting for name in difflib.get_close_matches(group, groups, n=1)), None)
        return next(iter(difflib.get_close_matches(option, known, n=1, cutoff=0.8)), None)


def settings_text(parser: ArgumentParser, settings: Namespace, skip_link_targets: bool = True) -> str:
    """Returns parsed settings as YAML.

    They were checked when they were parsed; checking them again would take longer than writing them.

    Args:
        parser: Parser of the settings.
        settings: All settings; those that are null are written, too.
        skip_link_targets: Whether settings that follow from others are left out.
    """
    text: str = parser.dump(
        settings, format="yaml", skip_unset=False, skip_validation=True, skip_link_targets=skip_link_targets
    )
    return text


def _path_text(path: Any) -> str:
    if not isinstance(path, str | Path):
        raise ValueError(f"expected a path, but got {type(path).__name__}")
    return str(path)


# by default any value becomes the text of a path, also where other types are accepted beside a path
register_type(Path, _path_text, lambda value: Path(_path_text(value)), type_check=isinstance)


_load_yaml: Final = get_loader("yaml")


def _load(text: str) -> Any:
    """Parses YAML, whose texts may be names of files that are not UTF-8."""
    if not any(ord(character) in _BYTES for character in text):
        return _load_yaml(text)
    block = next(first for first in _PRIVATE if not any(0 <= ord(one) - first < len(_BYTES) for one in text))
    stand_ins = range(block, block + len(_BYTES))
    found = _load_yaml(text.translate(dict(zip(_BYTES, stand_ins, strict=True))))
    return _translated(found, dict(zip(stand_ins, _BYTES, strict=True)))


def _translated(value: Any, table: dict[int, int]) -> Any:
    if isinstance(value, str):
        return value.translate(table)
    if isinstance(value, list):
        return [_translated(one, table) for one in value]
    if isinstance(value, dict):
        return {_translated(key, table): _translated(one, table) for key, one in value.items()}
    return value


set_loader("yaml", _load, exceptions=(yaml.YAMLError,))
