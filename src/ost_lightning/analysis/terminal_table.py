"""Markdown with tables as a person reads it: aligned on a terminal, unchanged in a file or pipe."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_SEPARATOR: Final = re.compile(r":?-+:?")
_CELL: Final = re.compile(r"(?<!\\)\|")
_GAP: Final = 2
_EDGES: Final = 2
_NARROWEST: Final = 5


@dataclass(slots=True)
class _Table:
    """Table in Markdown.

    Attributes:
        header: Names of the columns.
        right: Whether each column is aligned to the right.
        rows: Cells by row.
    """

    header: list[str]
    right: list[bool]
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
        return _Table(cells, [False] * len(cells))
    if not table.rows and all(_SEPARATOR.fullmatch(cell) for cell in cells):
        table.right = [cell.endswith(":") and not cell.startswith(":") for cell in cells]
    else:
        table.rows.append(cells)
    return table


def _print_table(table: _Table, console: Console) -> None:
    columns = [index for index in range(len(table.header)) if any(row[index] for row in table.rows)]
    space = console.width - _EDGES
    if sum(_natural(table, columns)) + _GAP * (len(columns) - 1) > space:
        same = [index for index in columns if len({row[index] for row in table.rows}) == 1 and not table.right[index]]
        same = same[: len(columns) - 1]
        if same:
            words = "; ".join(f"{table.header[index]}: {table.rows[0][index]}" for index in same)
            console.print(words, markup=False, highlight=False)
            columns = [index for index in columns if index not in same]
    widths = _widths(table, columns, space - _GAP * (len(columns) - 1))
    rendered = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="bold")
    for index, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if table.right[index] else "left"
        rendered.add_column(table.header[index], justify=justify, overflow="fold", width=width)
    for row in table.rows:
        rendered.add_row(*(Text(row[index]) for index in columns))
    console.print(rendered)


def _natural(table: _Table, columns: Sequence[int]) -> list[int]:
    """Returns the width of each column without line breaks."""
    return [max(cell_len(line[index]) for line in (table.header, *table.rows)) for index in columns]


def _widths(table: _Table, columns: Sequence[int], space: int) -> list[int]:
    """Returns widths that break lines between words, as far as there is room for that."""
    natural = _natural(table, columns)
    words = [
        max(
            cell_len(word)
            for line in (table.header, *table.rows)
            # figures stay on one line
            for word in ([line[index]] if table.right[index] and line is not table.header else line[index].split())
        )
        for index in columns
    ]
    while sum(words) > space and max(words, default=0) > _NARROWEST:
        words[words.index(max(words))] -= 1  # the longest words are broken
    widths, extra = words, max(0, space - sum(words))
    by_need = sorted(range(len(columns)), key=lambda index: natural[index] - words[index])
    for position, index in enumerate(by_need):
        given = min(natural[index] - words[index], extra // (len(by_need) - position))
        widths[index] += given
        extra -= given
    return widths
