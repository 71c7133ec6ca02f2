"""Descriptors in other formats: the released code's index-keyed JSON, and tables (CSV).

The released code keeps two JSON files, one per kind, `{"0": ["...", ...], "1": [...]}`: the key is the label, and
nothing in them says which class that is. They are read together with a list of classes and checked against it.

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
from ost_lightning.files import write_text_atomically
from ost_lightning.text.label_files import ClassList, Descriptors, read_class_list, read_text
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind

TABLE_COLUMNS: Final = ("class", "kind", "rank", "descriptor")
_MIN_CLASSES_TO_JUDGE: Final = 8


def read_any_class_list(file: Path) -> ClassList:
    """Classes of a CSV file with the columns `id,name` (ids 0, 1, ... in order), or of a file such as `classes.txt`.

    Raises:
        UserError: If the file does not exist or is malformed.
    """
    if not file.is_file():
        raise UserError(f"There is no list of classes {file}. Expected a CSV file `id,name` or one name per line.")
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
    """Reads the released code's files, aligned with a list of classes.

    Args:
        names: Class names, in the order of the keys.
        files: A file for one or both kinds.

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
        labels: Every class must have descriptors.
        files: Target file of one or both kinds.
        per_class: Number of descriptors per list (the first N); all if not given.

    Raises:
        LabelSpaceError: If a class has no descriptors, or fewer than N.
    """
    for kind, file in files.items():
        rows = _rows(labels, kind, per_class)
        content = {str(label): list(row) for label, row in enumerate(rows)}
        write_text_atomically(file, json.dumps(content, indent=4, ensure_ascii=False) + "\n")


def write_class_list(labels: LabelSpace, file: Path) -> None:
    """Writes the CSV list `id,name` that index-keyed files are aligned with."""
    write_text_atomically(file, _csv_text(("id", "name"), ((label, name) for label, name in enumerate(labels.names))))


def read_table(file: Path, names: Sequence[str] | None = None) -> dict[str, Descriptors]:
    """Reads a table.

    Args:
        file: CSV file.
        names: Allowed class names; any if not given.

    Raises:
        UserError: If the file is malformed, a class is unknown or a rank is missing.
    """
    if not file.is_file():
        raise UserError(f"There is no table {file}. Expected a CSV file with the columns {','.join(TABLE_COLUMNS)}.")
    ranked: dict[str, dict[str, dict[int, str]]] = {}
    rows = _csv_rows(file)
    header = next(rows, (1, []))[1]
    if tuple(header) != TABLE_COLUMNS:
        raise UserError(f"{file}:1: the header is '{','.join(header)}', expected '{','.join(TABLE_COLUMNS)}'.")
    for number, row in rows:
        where = f"{file}:{number}"
        if len(row) != len(TABLE_COLUMNS):
            raise UserError(f"{where}: {len(row)} fields, expected {len(TABLE_COLUMNS)}. Quote a text with a comma.")
        name, kind, rank, text = row
        if names is not None and name not in names:
            raise UserError(f"{where}: '{name}' is not in the list of classes, which has {len(names)}.")
        if kind not in DESCRIPTOR_KINDS or not rank.isdecimal() or not text.strip():
            raise UserError(f"{where}: expected a kind (spatio, temporal), a rank from 1 and a descriptor.")
        places = ranked.setdefault(name, {kind: {} for kind in DESCRIPTOR_KINDS})[kind]
        if int(rank) in places:
            raise UserError(f"{where}: the class '{name}' has a {kind} descriptor of rank {rank} already.")
        places[int(rank)] = text
    for name, kinds in ranked.items():
        for kind, places in kinds.items():
            if sorted(places) != list(range(1, len(places) + 1)):
                raise UserError(f"{file}: the ranks of the {kind} descriptors of '{name}' are not 1, 2, ... in all.")
    return {
        name: Descriptors(*(tuple(places[rank] for rank in sorted(places)) for places in kinds.values()))
        for name, kinds in ranked.items()
    }


def write_table(labels: LabelSpace, file: Path, per_class: int | None = None) -> None:
    """Writes a table; see `write_indexed` for the arguments."""
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
    """Raises if descriptors seem to belong to another list of classes.

    Descriptors of a class often contain a word of its name, and rarely one of the classes before and after it. If they
    do not, the list is shifted, or a different one. Lists of fewer than 8 classes are not judged.

    Raises:
        UserError: If the descriptors fit a shifted list better than this one, or hardly fit at all.
    """
    names = list(descriptors)
    if len(names) < _MIN_CLASSES_TO_JUDGE:
        return
    own = _mentions(names, descriptors, shift=0)
    shifted = {shift: _mentions(names, descriptors, shift) for shift in (-3, -2, -1, 1, 2, 3)}
    best = max(shifted, key=lambda shift: shifted[shift])
    if own < 1.25 * shifted[best] or own < 0.15 * len(names):
        raise UserError(
            f"The descriptors in {origin} do not seem to belong to this list of classes: {own} of {len(names)} classes "
            f"share a word with their own descriptors, {shifted[best]} with those {abs(best)} "
            f"{'before' if best > 0 else 'after'} their own. Give the list that the files were made with, or switch "
            "this check off (--check_alignment false) if you know that it is right."
        )


def _mentions(names: Sequence[str], descriptors: Mapping[str, Descriptors], shift: int) -> int:
    """Number of classes whose descriptors contain a word of the name `shift` places further on."""
    texts = [f"{' '.join(entry.spatio)} {' '.join(entry.temporal)}".casefold() for entry in descriptors.values()]
    count = 0
    for place, text in enumerate(texts):
        other = place + shift
        if 0 <= other < len(names):
            count += any(stem in text for stem in _stems(names[other]))
    return count


def _stems(name: str) -> list[str]:
    """The beginnings of a name's longer words, so that "juggling" is found in "juggler"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word[:5] for word in re.findall(r"[a-z]+", spaced.casefold()) if len(word) > 3]


def _read_indexed_file(file: Path, classes: int) -> list[tuple[str, ...]]:
    if not file.is_file():
        raise UserError(f"There is no file {file}. Expected descriptors as JSON, keyed by label.")
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
            f"{file} has {len(keys)} keys and the list of classes {classes} names: expected the keys 0 to "
            f"{classes - 1}, each once (first that does not fit: {wrong[0]})."
        )
    lists = dict(content)
    for key, texts in lists.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UserError(f"{file}: the key {key} must have a list of non-empty texts.")
    return [tuple(lists[key]) for key in expected]


def _csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Non-empty rows, each with the number of the line that it ends on."""
    rows = csv.reader(StringIO(read_text(file), newline=""), strict=True)
    try:
        for row in rows:
            if row:
                yield rows.line_num, row
    except csv.Error as error:
        raise UserError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error


def _rows(labels: LabelSpace, kind: DescriptorKind, per_class: int | None) -> tuple[tuple[str, ...], ...]:
    labels.descriptors_of(kind, per_class or 1)
    lists = [getattr(labels.descriptors[name], kind) for name in labels.names]
    return tuple(texts[:per_class] for texts in lists)


def _csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
