"""A module's constructor arguments as plain values, for records and digests."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from ost_lightning.matching import Matcher
from ost_lightning.matching.later_settings import recorded_fields

_ANY_NUMBER: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def constructor_settings(module: nn.Module) -> dict[str, Any]:
    """Returns a module's constructor arguments as plain values, read from the attributes of the same names.

    Learned values, such as a matcher's epsilon, are reported at their current value. Arguments without an attribute are
    reported as "unknown".
    """
    parameters = inspect.signature(type(module)).parameters
    names = [name for name, parameter in parameters.items() if parameter.kind not in _ANY_NUMBER]
    return {name: plain(getattr(module, name, "unknown")) for name in names}


def plain(value: object) -> Any:
    """Returns a setting as a JSON value; objects without a JSON form become the name of their type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Matcher):
        return {type(value).__name__: constructor_settings(value)}
    if is_dataclass(value) and not isinstance(value, type):
        every = asdict(value)
        return {name: every[name] for name in recorded_fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return type(value).__name__
