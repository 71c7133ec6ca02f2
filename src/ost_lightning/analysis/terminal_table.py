"""Markdown with tables as a person reads it: aligned on a terminal, unchanged in a file or pipe."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_SEPARATOR: Final = re.compile(r":?-+:?")
_CELL: Final = re.compile(r"(?<!\\)\|")


@dataclass(slots=True)
class _Table:
    """Table in Markdown.

    Attributes:
        header: Names of the columns.
        right: Whether each column is aligned to the right.
        rows: Cells by row.
    """

    header: list[str]
    right: list[bool] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def print_markdown(text: str) -> None:
    """Prints Markdown; on a terminal, tables are aligned and fit its width.

    If a table is too wide, columns that say the same in every row become a line above it.

    Args:
        text: Markdown with tables of pipes.
    """
    if sys.stdout.isatty():
        print_aligned(text, Console())
    else:
        print(text, end="" if text.endswith("\n") else "\n")


def print_aligned(text: str, console: Console) -> None:
    """Prints Markdown with aligned tables.

    Args:
        text: Markdown with tables of pipes.
        console: Console to print to.
    """
    table: _Table | None = None
    for line in [*text.rstrip("\n").split("\n"), None]:
        if line is not None and line.startswith("|"):
            table = _with_line(table, _cells(line))
            continue
        if table is not None:
            _print_table(table, console)
            table = None
        if line is not None:
            console.print(line, markup=False, highlight=False)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip())[1:-1]]


def _with_line(table: _Table | None, cells: list[str]) -> _Table:
    if table is None:
        return _Table(cells)
    if not table.right and all(_SEPARATOR.fullmatch(cell) for cell in cells):
        table.right = [cell.endswith(":") and not cell.startswith(":") for cell in cells]
    else:
        table.rows.append(cells)
    return table


def _print_table(table: _Table, console: Console) -> None:
    columns = list(range(len(table.header)))
    empty = [index for index in columns if not any(row[index] for row in table.rows)]
    columns = [index for index in columns if index not in empty]
    rendered = _rendered(table, columns)
    unlimited = console.options.update(max_width=10_000)
    if console.measure(rendered, options=unlimited).maximum > console.width:
        same = [index for index in columns if len({row[index] for row in table.rows}) == 1 and not table.right[index]]
        if len(same) == len(columns):
            same = same[1:]
        if same:
            words = "; ".join(f"{table.header[index]}: {table.rows[0][index]}" for index in same)
            console.print(words, markup=False, highlight=False)
            rendered = _rendered(table, [index for index in columns if index not in same])
    console.print(rendered)


def _rendered(table: _Table, columns: Sequence[int]) -> Table:
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for index in columns:
        right = bool(table.right) and table.right[index]
        result.add_column(table.header[index], justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        result.add_row(*(Text(row[index]) for index in columns))
    return result
