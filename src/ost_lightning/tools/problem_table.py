"""Table of what a command could not do, beside its other files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv


def write_problems(file: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a table of problems; without any, removes the one that an earlier run left.

    Args:
        file: CSV file.
        columns: Names of the columns.
        rows: One row per problem.
    """
    found = list(rows)
    if not found:
        file.unlink(missing_ok=True)
        return
    with atomic_write(file) as partial, open_csv(partial) as handle:
        table = CsvWriter(handle)
        table.writerow(columns)
        table.writerows(found)
