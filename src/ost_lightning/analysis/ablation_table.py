"""Ablation results next to published ones: JSON, Markdown, and means over runs."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from ost_lightning.errors import UserError
from ost_lightning.escaping import markdown_line, markdown_text
from ost_lightning.files import write_text_atomically

ABLATION_FILE: Final = "ablation.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class EvaluationSetCard:
    """Size of one evaluation set.

    Attributes:
        classes: Number of classes, K.
        videos: Number of scored videos; unreadable ones are included and count as wrong.
        undecodable: Number of scored videos that could not be read.
        split_of: Data set that this is a test split of; None if it is not a split, or can't be averaged with others.
        vocabulary: Hash of the class names and descriptors, of the complete label space; None in files of earlier
            versions.
    """

    classes: int
    videos: int
    undecodable: int
    split_of: str | None = None
    vocabulary: str | None = None


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One row of the table.

    Attributes:
        part: Part of the table, for example `4a`.
        name: Name of the variant.
        setting: Scored setting, in the terms of the configuration.
        top1: Top-1 accuracy, 0 to 1, by evaluation set; sets that could not be scored are missing.
        top5: Top-5 accuracy, 0 to 1, by evaluation set.
        paper: Published Top-1 in percent, by data set.
        top1_std: Standard deviation of `top1` over runs, by evaluation set; empty for a single run.
    """

    part: str
    name: str
    setting: str
    top1: Mapping[str, float]
    top5: Mapping[str, float]
    paper: Mapping[str, float]
    top1_std: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AblationTable:
    """An ablation of one model, or the mean of several.

    Attributes:
        world: Kind of footage, and the CLIP that scored it.
        source: Source of the published figures.
        parts: Title of each part of the table.
        sets: Size of each evaluation set, by its name.
        rows: Rows in the order of the table.
        conditions: Model, checkpoint, clips, precision.
        remarks: Settings that could not be scored, with reasons, and peculiarities of the run.
        runs: Number of runs averaged in this table.
    """

    world: str
    source: str
    parts: Mapping[str, str]
    sets: Mapping[str, EvaluationSetCard]
    rows: Sequence[AblationRow]
    conditions: Mapping[str, Any]
    remarks: Sequence[str] = ()
    runs: int = 1

    def save(self, folder: Path) -> None:
        """Writes ablation.json and ablation.md."""
        content = json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"
        write_text_atomically(folder / ABLATION_FILE, content)
        write_text_atomically(folder / "ablation.md", self.markdown())

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads the JSON that `save` wrote.

        Raises:
            UserError: If the file is not such a JSON.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if (version := content.pop("format")) != _FORMAT:
                raise UserError(
                    f"{file} has format {version}, but this version reads {_FORMAT}: run the ablation again."
                )
            rows = [AblationRow(**row) for row in content.pop("rows")]
            sets = {name: EvaluationSetCard(**card) for name, card in content.pop("sets").items()}
            remarks = tuple(content.pop("remarks"))
            return cls(rows=rows, sets=sets, remarks=remarks, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is not the {ABLATION_FILE} of an ablation ({error}).") from error

    def over_splits(self) -> Self:
        """Returns the table with the test splits of a data set merged: mean and sample standard deviation."""
        splits = {
            name: names for name, names in _by_data_set(self.sets).items() if len(names) > 1 and name not in self.sets
        }
        merged = {split: name for name, names in splits.items() for split in names}
        sets = {}
        for split in self.sets:
            name = merged.get(split, split)
            cards = [self.sets[each] for each in splits.get(name, [split])]
            videos, undecodable = sum(card.videos for card in cards), sum(card.undecodable for card in cards)
            sets[name] = replace(cards[0], videos=videos, undecodable=undecodable)
        rows = [_over_splits(row, splits) for row in self.rows]
        remarks = [f"`{name}`: mean and standard deviation of {', '.join(names)}." for name, names in splits.items()]
        return replace(self, sets=sets, rows=rows, remarks=(*remarks, *self.remarks))

    def markdown(self) -> str:
        """Returns the table with one row per setting, then notes; splits of a data set are averaged."""
        return self.over_splits()._markdown()

    def _markdown(self) -> str:
        published = list(dict.fromkeys(name for row in self.rows for name in row.paper))
        head = ["", "setting", *(f"{name} (ours)" for name in self.sets), *(f"{name} (paper)" for name in published)]
        lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
        shown = ""
        for row in self.rows:
            title = f"{row.part} {self.parts.get(row.part, '')}".strip() if row.part != shown else ""
            shown = row.part
            ours = [_percent(row, name) for name in self.sets]
            paper = [f"{row.paper[name]:.1f}" if name in row.paper else "" for name in published]
            lines.append(_line([title, row.name, *ours, *paper]))
        return "\n".join([*lines, "", *self._notes()]) + "\n"

    def _notes(self) -> list[str]:
        notes = [f"Top-1 (%). Ours: {self.world}. {self.source}".strip()]
        for name, card in self.sets.items():
            error = 50 / card.videos**0.5 if card.videos else 0.0
            notes.append(
                f"`{name}`: {card.videos:,} videos of {card.classes} classes, {card.undecodable:,} of them unreadable "
                f"(counted as wrong); chance {100 / card.classes:.1f}; standard error of a figure of one run at most "
                f"{error:.1f}."
            )
        if self.runs > 1:
            notes.append(f"Mean and standard deviation of {self.runs} runs.")
        notes.append("Conditions: " + "; ".join(f"{key} {value}" for key, value in self.conditions.items()) + ".")
        notes += self.remarks
        return [f"- {markdown_line(note)}" for note in notes]


def mean_of(tables: Sequence[AblationTable]) -> AblationTable:
    """Returns mean and standard deviation over runs of one table with different seeds, draws or splits.

    Raises:
        UserError: If the runs differ in their rows or world, or in their evaluation sets. Sets have to have the same
            names, or each run has one split of the same data sets.
    """
    if any(list(table.sets) != list(tables[0].sets) for table in tables):
        tables = [_named_by_data_set(table) for table in tables]
    first = tables[0]
    for table in tables[1:]:
        for what in ("world", "sets", "rows"):
            one, other = _outline(first, what), _outline(table, what)
            if one != other:
                raise UserError(f"These ablations can't be averaged: they differ in {what} ({one} and {other}).")
    sets = {name: _common_card([table.sets[name] for table in tables]) for name in first.sets}
    rows = [_mean_row([table.rows[k] for table in tables]) for k in range(len(first.rows))]
    conditions = {
        key: " / ".join(dict.fromkeys(str(table.conditions.get(key)) for table in tables)) for key in first.conditions
    }
    differing = [name for name in sets if len({table.sets[name].vocabulary for table in tables} - {None}) > 1]
    notes = [f"`{name}`: the runs differ in its class names or descriptors." for name in differing]
    remarks = tuple(dict.fromkeys([*notes, *(remark for table in tables for remark in table.remarks)]))
    return AblationTable(
        first.world, first.source, first.parts, sets, rows, conditions, remarks, sum(table.runs for table in tables)
    )


def _by_data_set(sets: Mapping[str, EvaluationSetCard]) -> dict[str, list[str]]:
    """Returns the names of the splits of each data set."""
    found: dict[str, list[str]] = {}
    for name, card in sets.items():
        if card.split_of is not None:
            found.setdefault(card.split_of, []).append(name)
    return found


def _named_by_data_set(table: AblationTable) -> AblationTable:
    """Returns the table with a set named after its data set if it is the only split of it."""
    only_splits = {names[0]: name for name, names in _by_data_set(table.sets).items() if len(names) == 1}

    def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
        return {only_splits.get(name, name): value for name, value in values.items()}

    rows = [
        replace(row, top1=renamed(row.top1), top5=renamed(row.top5), top1_std=renamed(row.top1_std))
        for row in table.rows
    ]
    return replace(table, sets=renamed(table.sets), rows=rows)


def _over_splits(row: AblationRow, splits: Mapping[str, Sequence[str]]) -> AblationRow:
    merged = {split for names in splits.values() for split in names}
    top1, top5, spread = (
        {name: value for name, value in values.items() if name not in merged}
        for values in (row.top1, row.top5, row.top1_std)
    )
    for name, names in splits.items():
        if all(split in row.top1 for split in names):
            top1[name] = statistics.mean(row.top1[split] for split in names)
            top5[name] = statistics.mean(row.top5[split] for split in names)
            spread[name] = statistics.stdev(row.top1[split] for split in names)
    return replace(row, top1=top1, top5=top5, top1_std=spread)


def _outline(table: AblationTable, what: str) -> object:
    if what == "sets":
        return list(table.sets)
    return table.world if what == "world" else [(row.part, row.name, row.setting) for row in table.rows]


def _common_card(cards: Sequence[EvaluationSetCard]) -> EvaluationSetCard:
    if len({card.classes for card in cards}) > 1:
        raise UserError(
            f"These ablations can't be averaged: a set has {cards[0].classes} classes in one run, but not in all."
        )
    return cards[0]


def _mean_row(rows: Sequence[AblationRow]) -> AblationRow:
    names = [name for name in rows[0].top1 if all(name in row.top1 for row in rows)]
    top1 = {name: [row.top1[name] for row in rows] for name in names}
    spread = {name: statistics.stdev(values) for name, values in top1.items()} if len(rows) > 1 else {}
    return AblationRow(
        rows[0].part,
        rows[0].name,
        rows[0].setting,
        {name: statistics.mean(values) for name, values in top1.items()},
        {name: statistics.mean(row.top5[name] for row in rows) for name in names},
        rows[0].paper,
        spread,
    )


def _percent(row: AblationRow, name: str) -> str:
    if name not in row.top1:
        return "-"
    spread = f" ± {100 * row.top1_std[name]:.1f}" if name in row.top1_std else ""
    return f"{100 * row.top1[name]:.1f}{spread}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(markdown_text, cells))} |"
