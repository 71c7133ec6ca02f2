"""Descriptors in other formats: the released code's JSON keyed by label, and CSV tables.

The released code has two JSON files, one per kind, `{"0": ["...", ...], "1": [...]}`. Their keys are labels, without
class names, so they are read together with a list of classes and checked against it.

A table has the columns `class`, `kind` (spatio or temporal), `rank` (from 1) and `descriptor`.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter, csv_text
from ost_lightning.files import write_text_atomically
from ost_lightning.text.label_files import ClassList, Descriptors, read_class_list, read_text
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind

TABLE_COLUMNS: Final = ("class", "kind", "rank", "descriptor")
_MIN_CLASSES_TO_CHECK: Final = 8


def read_any_class_list(file: Path) -> ClassList:
    """Reads classes from a CSV file with the columns `id,name` (ids 0, 1, ... in order), or a file like `classes.txt`.

    Raises:
        UserError: If the file does not exist or is malformed.
    """
    if not file.is_file():
        raise UserError(f"The list of classes {file} does not exist. Expected CSV `id,name` or one name per line.")
    if file.suffix.lower() != ".csv":
        return read_class_list(file)
    rows = _csv_rows(file)
    header = next(rows, (1, []))[1]
    if [cell.strip().lower() for cell in header] != ["id", "name"]:
        raise UserError(f"{file}:1: the header is '{','.join(header)}', expected 'id,name'.")
    names: list[str] = []
    for number, row in rows:
        if len(row) != 2 or row[0].strip() != str(len(names)) or not row[1].strip():
            raise UserError(f"{file}:{number}: found '{','.join(row)}', expected '{len(names)},' and the class name.")
        names.append(row[1].strip())
    return ClassList(tuple(names), tuple(names), source="")


def read_indexed(names: Sequence[str], files: Mapping[DescriptorKind, Path]) -> dict[str, Descriptors]:
    """Reads the released code's files, and aligns them with a list of classes.

    Args:
        names: Class names in the order of their labels.
        files: Files by kind; one or both kinds.

    Raises:
        UserError: If a file is malformed, or its keys are not exactly the labels 0 to K-1.
    """
    lists = {kind: _read_indexed_file(file, len(names)) for kind, file in files.items()}
    return {
        name: Descriptors(*(lists[kind][label] if kind in lists else () for kind in DESCRIPTOR_KINDS))
        for label, name in enumerate(names)
    }


def write_indexed(labels: LabelSpace, files: Mapping[DescriptorKind, Path], per_class: int | None = None) -> None:
    """Writes the released code's files.

    Args:
        labels: Label space in which every class has descriptors.
        files: Files to write, by kind; one or both kinds.
        per_class: Number N of descriptors per list, of which the first are written; None for all.

    Raises:
        LabelSpaceError: If a class has no descriptors, or fewer than N of them.
    """
    for kind, file in files.items():
        rows = _rows(labels, kind, per_class)
        content = {str(label): list(row) for label, row in enumerate(rows)}
        write_text_atomically(file, json.dumps(content, indent=4, ensure_ascii=False) + "\n")


def write_class_list(labels: LabelSpace, file: Path) -> None:
    """Writes the list of classes for files keyed by label, as CSV with the columns `id,name`."""
    write_text_atomically(file, _csv_text(("id", "name"), ((label, name) for label, name in enumerate(labels.names))))


def read_table(file: Path, names: Sequence[str] | None = None) -> dict[str, Descriptors]:
    """Reads a table of descriptors.

    Args:
        file: CSV file with the columns `class,kind,rank,descriptor`.
        names: Allowed class names; None for any.

    Raises:
        UserError: If the file is malformed, a class is unknown or a rank is missing.
    """
    if not file.is_file():
        raise UserError(
            f"The table {file} does not exist. Expected a CSV file with the columns {','.join(TABLE_COLUMNS)}."
        )
    ranked: dict[str, dict[str, dict[int, str]]] = {}
    rows = _csv_rows(file)
    header = next(rows, (1, []))[1]
    if tuple(header) != TABLE_COLUMNS:
        raise UserError(f"{file}:1: the header is '{','.join(header)}', expected '{','.join(TABLE_COLUMNS)}'.")
    for number, row in rows:
        where = f"{file}:{number}"
        if len(row) != len(TABLE_COLUMNS):
            raise UserError(f"{where}: {len(row)} fields, expected {len(TABLE_COLUMNS)}. Quote texts with commas.")
        name, kind, rank, text = row
        if names is not None and name not in names:
            raise UserError(f"{where}: '{name}' is not in the list of classes, which has {len(names)}.")
        if kind not in DESCRIPTOR_KINDS or not rank.isdecimal() or not text.strip():
            raise UserError(f"{where}: expected a kind (spatio, temporal), a rank from 1 and a descriptor.")
        by_rank = ranked.setdefault(name, {kind: {} for kind in DESCRIPTOR_KINDS})[kind]
        if int(rank) in by_rank:
            raise UserError(f"{where}: the class '{name}' already has a {kind} descriptor of rank {rank}.")
        by_rank[int(rank)] = text
    for name, kinds in ranked.items():
        for kind, by_rank in kinds.items():
            if sorted(by_rank) != list(range(1, len(by_rank) + 1)):
                raise UserError(
                    f"{file}: the ranks of the {kind} descriptors of '{name}' have gaps, expected 1 to {len(by_rank)}."
                )
    return {
        name: Descriptors(*(tuple(by_rank[rank] for rank in sorted(by_rank)) for by_rank in kinds.values()))
        for name, kinds in ranked.items()
    }


def write_table(labels: LabelSpace, file: Path, per_class: int | None = None) -> None:
    """Writes a table of descriptors; see `write_indexed` for `labels` and `per_class`."""
    rows = [
        (name, kind, rank, text)
        for kind in DESCRIPTOR_KINDS
        for name, texts in zip(labels.names, _rows(labels, kind, per_class), strict=True)
        for rank, text in enumerate(texts, start=1)
    ]
    label_of = {name: label for label, name in enumerate(labels.names)}
    rows.sort(key=lambda row: (label_of[row[0]], DESCRIPTOR_KINDS.index(row[1]), row[2]))
    write_text_atomically(file, _csv_text(TABLE_COLUMNS, rows))


def check_alignment(descriptors: Mapping[str, Descriptors], origin: str) -> None:
    """Raises an error if descriptors seem to belong to another list of classes.

    Descriptors of a class often contain a word of its name, and rarely one of the names before and after it. Otherwise
    the list is shifted, or a different one. Lists of fewer than 8 classes are not checked.

    Raises:
        UserError: If the descriptors fit a shifted list better than this one, or hardly fit at all.
    """
    names = list(descriptors)
    if len(names) < _MIN_CLASSES_TO_CHECK:
        return
    aligned = _count_mentions(names, descriptors, shift=0)
    shifted = {shift: _count_mentions(names, descriptors, shift) for shift in (-3, -2, -1, 1, 2, 3)}
    best = max(shifted, key=lambda shift: shifted[shift])
    if aligned < 1.25 * shifted[best] or aligned < 0.15 * len(names):
        raise UserError(
            f"The descriptors in {origin} do not seem to belong to this list of classes: {aligned} of {len(names)} "
            f"classes share a word with their own descriptors, {shifted[best]} with those {abs(best)} "
            f"{'before' if best > 0 else 'after'} their own. Use the list for which the files were written, or disable "
            "this check (--check_alignment false) if you know that the list is right."
        )


def _count_mentions(names: Sequence[str], descriptors: Mapping[str, Descriptors], shift: int) -> int:
    """Returns the number of classes whose descriptors contain a word of the name `shift` labels later."""
    texts = [f"{' '.join(entry.spatio)} {' '.join(entry.temporal)}".casefold() for entry in descriptors.values()]
    count = 0
    for label, text in enumerate(texts):
        other = label + shift
        if 0 <= other < len(names):
            count += any(stem in text for stem in _stems(names[other]))
    return count


def _stems(name: str) -> list[str]:
    """Returns the beginnings of a name's longer words, so that "juggling" matches "juggler"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word[:5] for word in re.findall(r"[a-z]+", spaced.casefold()) if len(word) > 3]


def _read_indexed_file(file: Path, classes: int) -> list[tuple[str, ...]]:
    if not file.is_file():
        raise UserError(f"The file {file} does not exist. Expected descriptors as JSON, keyed by label.")
    try:
        content = json.loads(read_text(file), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}:{error.lineno}: not valid JSON ({error.msg}).") from error
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise UserError(f'{file} must be a JSON object with the labels as keys: {{"0": ["...", ...], ...}}.')
    keys = [key for key, _ in content]
    expected = [str(label) for label in range(classes)]
    if sorted(keys) != sorted(expected):
        wrong = sorted(set(expected) ^ set(keys), key=lambda key: (len(key), key)) or ["a repeated key"]
        raise UserError(
            f"{file} has {len(keys)} keys, but the list of classes has {classes} names. Expected the keys 0 to "
            f"{classes - 1}, each once (first wrong one: {wrong[0]})."
        )
    lists = dict(content)
    for key, texts in lists.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UserError(f"{file}: the key {key} must have a list of non-empty strings.")
    return [tuple(lists[key]) for key in expected]


def _csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields non-empty rows, each with the number of its last line."""
    rows = csv.reader(StringIO(read_text(file), newline=""), strict=True)
    try:
        for row in rows:
            if row:
                yield rows.line_num, [csv_text(cell) for cell in row]
    except csv.Error as error:
        raise UserError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error


def _rows(labels: LabelSpace, kind: DescriptorKind, per_class: int | None) -> tuple[tuple[str, ...], ...]:
    labels.descriptors_of(kind, per_class or 1)
    lists = [getattr(labels.descriptors[name], kind) for name in labels.names]
    return tuple(texts[:per_class] for texts in lists)


def _csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = StringIO(newline="")
    writer = CsvWriter(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
