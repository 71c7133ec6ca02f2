"""Settings that were added later: records and digests name them only where they differ from their default.

Calibrations, exported models and results from before there was a choice then remain comparable.
"""

from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ADDED_LATER: Final = "added later"


def later_setting(default: float | None) -> Any:
    """Returns a field of a dataclass of settings that files on disk may be without.

    Args:
        default: Value that leaves every number as it was without the setting.
    """
    return field(default=default, metadata={_ADDED_LATER: True})


def recorded_fields(settings: "DataclassInstance") -> list[str]:
    """Returns the names of the fields that a record of the settings contains."""
    return [
        one.name
        for one in fields(settings)
        if not one.metadata.get(_ADDED_LATER) or getattr(settings, one.name) != one.default
    ]
