"""Flattening of nested settings to dotted names, so that they can be compared."""

from collections.abc import Mapping
from typing import Any


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested mappings, such as `{"a": {"b": 1}}` to `{"a.b": 1}`.

    Args:
        settings: Values and mappings of values.
        prefix: Prefix of every name, such as `training.`.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
