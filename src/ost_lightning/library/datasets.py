"""Lance datasets of a table: opened or created, checked, and written with clear errors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor
from torch.utils.dlpack import from_dlpack

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.library.schema import SCHEMA_VERSION, VERSION_KEY, lance, other_version

if TYPE_CHECKING:
    from lance import LanceDataset
    from pyarrow import Schema

_KEYS: Final = 1000
"""Keys per condition of a deletion."""
_RETRIES: Final = 100
"""Attempts to commit while other processes do, too."""
_PATIENCE: Final = timedelta(minutes=5)


def open_dataset(path: Path, schema: "Schema") -> "LanceDataset":
    """Opens a dataset, or creates an empty one.

    Args:
        path: Folder of the dataset.
        schema: Schema of its rows.

    Raises:
        UserError: If it is damaged, or of another version.
    """
    if not path.exists():
        _create(path, schema)
    try:
        dataset: LanceDataset = lance().dataset(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} can't be read as a Lance dataset ({error}): restore it, or delete the folder of its table and "
            "index the videos again."
        ) from error
    found = (dataset.schema.metadata or {}).get(VERSION_KEY, b"unknown").decode()
    if found != str(SCHEMA_VERSION):
        raise other_version(path, found)
    if not dataset.schema.equals(schema):
        raise UserError(
            f"{path} doesn't have the columns of version {SCHEMA_VERSION} with the table's settings: restore "
            "settings.json, or index into another library."
        )
    return dataset


def _create(path: Path, schema: "Schema") -> None:
    with writing(path):
        try:
            # Lance lets two processes create one dataset, but only one can rename its folder
            with atomic_write(path) as temporary:
                lance().write_dataset(schema.empty_table(), temporary, schema=schema)
        except OSError:
            if not path.exists():
                raise


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Reports a full disk and the like as a user error, inside a `with` block that writes.

    Args:
        place: Folder that is written, for the message.

    Raises:
        UserError: If Lance can't write.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The library can't be written: {place}: {error}. What was stored before is complete and readable. Free "
            "some space or check the permissions, and run the same command again."
        ) from error


def show_newest(dataset: Any) -> bool:
    """Makes a dataset show its newest version, and returns whether it has shown another one."""
    before = dataset.version
    dataset.checkout_latest()
    return bool(dataset.version != before)


def append_rows(dataset: "LanceDataset", rows: Any) -> None:
    """Adds rows to a dataset in one commit."""
    dataset.insert(rows, mode="append")


def delete_keys(dataset: "LanceDataset", keys: Iterable[str], condition: str = "") -> None:
    """Deletes rows.

    Args:
        dataset: Dataset, which shows its newest version afterwards.
        keys: Keys of the rows, hexadecimal.
        condition: Further condition in SQL.
    """
    chosen = sorted(set(keys))
    for first in range(0, len(chosen), _KEYS):
        dataset.delete(
            with_keys(chosen[first : first + _KEYS]) + (f" AND {condition}" if condition else ""),
            conflict_retries=_RETRIES,
            retry_timeout=_PATIENCE,
        )


def replace_rows(dataset: "LanceDataset", rows: Any, keys: Iterable[str]) -> None:
    """Replaces all rows with some keys by others, in one commit.

    Args:
        dataset: Dataset with columns `key` and `place`.
        rows: New rows, of these or other keys.
        keys: Keys whose present rows are deleted.
    """
    merge = dataset.merge_insert(["key", "place"]).when_matched_update_all().when_not_matched_insert_all()
    merge = merge.when_not_matched_by_source_delete(with_keys(keys))
    merge.conflict_retries(_RETRIES).retry_timeout(_PATIENCE).execute(rows)
    show_newest(dataset)


def with_keys(keys: Iterable[str]) -> str:
    """Returns the condition in SQL that a row has one of these keys, which are hexadecimal."""
    listed = ", ".join(f"'{key}'" for key in sorted(keys))
    return f"key IN ({listed})"


def vectors(column: Any) -> Tensor:
    """Returns the numbers of a column of fixed-size lists, 1-dimensional, without a copy; it must not be written to."""
    numbers: Tensor = from_dlpack(column.flatten())
    return numbers
