"""Nested settings under dotted names, to compare them with one another."""

from collections.abc import Mapping
from typing import Any


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, `{"a": {"b": 1}}` as `{"a.b": 1}`.

    Args:
        settings: Values and mappings of values.
        prefix: Text in front of every name, such as `training.`.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
