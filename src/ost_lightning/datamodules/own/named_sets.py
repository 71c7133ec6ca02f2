"""Names of evaluation sets, which may be given without one if there is only one."""

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from ost_lightning.errors import UserError

_T = TypeVar("_T")


def named_sets(sets: _T | Mapping[str, _T] | None, part: str, keys: Sequence[str] = ()) -> dict[str, _T]:
    """Returns evaluation sets by name.

    Args:
        sets: One set, several sets by name, or None.
        part: Name of the data's setting, and of a single set.
        keys: Keys of a set given as a mapping, which can't be names of sets.

    Raises:
        UserError: If the names of sets are keys of a set, so that it is unclear what is meant.
    """
    if sets is None:
        return {}
    if not isinstance(sets, Mapping):
        return {part: sets}
    if confused := [name for name in sets if name in keys]:
        raise UserError(
            f"The data's `{part}` has the keys {', '.join(sets)}. Expected the keys of one set ({', '.join(keys)}), or "
            f"names of sets with these keys below: {{NAME: {{{confused[0]}: ...}}}}."
        )
    return dict(cast("Mapping[str, _T]", sets))
