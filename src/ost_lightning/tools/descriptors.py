"""`ost descriptors ...`: check, compare, import and export Spatio-Temporal Descriptors."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.table import Table

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.resources import TINY_CLIP
from ost_lightning.text import Finding, LabelSpace, OrphanDescriptorsWarning, Templates, compare, lint
from ost_lightning.text.foreign_descriptors import (
    check_alignment as validate_alignment,
)
from ost_lightning.text.foreign_descriptors import (
    read_any_class_list,
    read_indexed,
    read_table,
    write_class_list,
    write_indexed,
    write_table,
)
from ost_lightning.tools.consensus import load_drafts, text_embedder
from ost_lightning.tools.options import output_file, output_folder
from ost_lightning.vocabulary import DescriptorKind, counted

_SHOWN: Final = 3


def check(
    label_space: str,
    templates: str = "ost",
    pretrained: str = TINY_CLIP,
    descriptors_per_class: int | None = None,
    output: Path | None = None,
    drafts: str | None = None,
) -> None:
    """Checks the descriptors of a label space.

    The exit status is 1 if the check finds errors.

    Errors: missing or extra classes, wrong counts, duplicates within a class, leftover numbering or quotes, sentences
    that are too long, control and bidirectional characters. Warnings: class names that are the same text for CLIP,
    descriptors shared by several classes, class names in descriptors, markup, non-ASCII characters. With other drafts
    of the same descriptors: descriptors that no other draft has, which may be hallucinated.

    Args:
        label_space: Name or folder of the label space.
        templates: Templates of the sentences with descriptors: a name in prompts/sentences, or a YAML file.
        pretrained: CLIP whose tokenizer counts tokens: hub id, folder, or tiny, whose small vocabulary gives more
            tokens per sentence than OpenAI's.
        descriptors_per_class: Expected number of descriptors per list; the most common number if not given.
        output: CSV file for all findings; the screen shows three per rule.
        drafts: Names or folders of other drafts of the label space, separated by commas. The text tower of
            `pretrained` compares them.
    """
    # take seconds, which the other commands don't need
    from ost_lightning.models import token_count
    from ost_lightning.text.consensus import unsupported

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrphanDescriptorsWarning)  # they are among the findings
        labels = LabelSpace.load(label_space)
    counter = token_count(pretrained)
    findings = lint(labels, Templates.load(templates), counter, descriptors_per_class)
    if drafts is not None:
        findings += unsupported(labels, load_drafts(drafts)[1], text_embedder(pretrained))
    if output is not None:
        _write_report(findings, output_file(output))
    console = Console()
    if findings:
        console.print(_findings_table(findings))
    errors = sum(finding.severity == "error" for finding in findings)
    counts = f"{counted(errors, 'error')} and {counted(len(findings) - errors, 'warning')}"
    summary = f"{labels.origin}: {counts} in {counted(len(labels), 'class', 'classes')}"
    if errors:
        raise UserError(f"{summary}. Correct the errors of the table in descriptors.json, and check again.")
    console.print(f"{summary}; tokens counted by the {counter.tokenizer}", soft_wrap=True)


def diff(first: str, second: str) -> None:
    """Compares the descriptors of two label spaces, class by class.

    Args:
        first: Name or folder of the first label space.
        second: Name or folder of the second label space.
    """
    difference = compare(LabelSpace.load(first), LabelSpace.load(second))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for key, (before, after) in difference.provenance.items():
        console.print(escaped(f"provenance.{key}: {before} -> {after}"))
    for sign, names in (("-", difference.removed), ("+", difference.added)):
        for name in names:
            console.print(escaped(f"{sign} class {name}"))
    if not difference.same_order:
        console.print("the classes are in a different order")
    for entry in difference.lists:
        console.print(escaped(f"{entry.name} ({entry.kind}){': in a different order' if entry.reordered else ''}"))
        for sign, texts in (("-", entry.removed), ("+", entry.added)):
            for text in texts:
                console.print(escaped(f"  {sign} {text}"))
    removed, added = (sum(len(getattr(entry, part)) for entry in difference.lists) for part in ("removed", "added"))
    console.print(
        f"{counted(difference.kept, 'descriptor')} in both, {removed:,} only in {first}, {added:,} only in {second}"
        if difference
        else "no differences"
    )


def import_descriptors(
    *,
    classes: str,
    output: Path,
    spatio: Path | None = None,
    temporal: Path | None = None,
    table: Path | None = None,
    source: str = "",
    check_alignment: bool = True,
) -> None:
    """Creates a label space from descriptors in another program's format.

    The input is either index-keyed JSON files as in the released code (`spatio`, `temporal`, or both), or one CSV table
    with the columns class, kind, rank, descriptor. Texts are not changed; `ost descriptors check` finds problems.

    Args:
        classes: Classes in the order of the labels: a label space by name or folder, or a list (CSV `id,name`, or
            text as in `classes.txt`).
        output: Folder for the new label space; must not exist.
        spatio: JSON file of Spatio Descriptors.
        temporal: JSON file of Temporal Descriptors.
        table: CSV table of descriptors of both kinds.
        source: Source of the descriptors, for the provenance.
        check_alignment: Whether to reject files that seem to belong to another list of classes.
    """
    files: dict[DescriptorKind, Path] = {}
    if spatio:
        files["spatio"] = spatio
    if temporal:
        files["temporal"] = temporal
    if bool(files) == bool(table):
        raise UserError("Nothing to import, or two inputs at once. Give --spatio and/or --temporal, or --table.")
    if output.exists():
        raise UserError(f"{output} already exists. Choose another folder for the imported label space.")
    base = _classes(classes)
    descriptors = read_table(table, base.names) if table else read_indexed(base.names, files)
    named = [table.name] if table else [file.name for file in files.values()]
    if check_alignment and not table:
        validate_alignment(descriptors, " and ".join(map(str, files.values())))
    provenance = {"source": source or f"imported from {' and '.join(named)}"}
    labels = replace(base, descriptors=descriptors, provenance=provenance, origin=str(output))
    labels.save(output)
    classes = counted(len(labels), "class", "classes")
    print(f"{output}: {classes}, {len(descriptors):,} with descriptors; next: ost descriptors check {output}")


def export(
    label_space: str,
    output: Path,
    form: Literal["indexed", "table"] = "indexed",
    descriptors_per_class: int | None = None,
) -> None:
    """Writes the descriptors of a label space for other programs.

    Args:
        label_space: Name or folder of the label space.
        output: Folder for spatio.json, temporal.json and classes.csv (indexed, as the released code reads them), or for
            descriptors.csv (table).
        form: Format of the files: indexed or table.
        descriptors_per_class: Number of descriptors to write per list, from the first; all if not given.
    """
    labels = LabelSpace.load(label_space)
    output_folder(output)
    if form == "table":
        write_table(labels, output / "descriptors.csv", descriptors_per_class)
    else:
        write_indexed(
            labels, {"spatio": output / "spatio.json", "temporal": output / "temporal.json"}, descriptors_per_class
        )
        write_class_list(labels, output / "classes.csv")
    print(f"{output}: {', '.join(sorted(path.name for path in output.iterdir()))}")


def _classes(name_or_file: str) -> LabelSpace:
    """Returns a label space by name or folder, or from a file with a list of classes."""
    file = Path(name_or_file)
    if file.suffix.lower() in (".csv", ".txt"):
        listed = read_any_class_list(file)
        source = listed.source or f"classes of {file.name}"
        return LabelSpace(listed.names, source=source, origin=str(file), published=listed.published)
    return LabelSpace.load(name_or_file)


def _findings_table(findings: Sequence[Finding]) -> Table:
    table = Table("rule", "severity", "found", "for example")
    for rule in dict.fromkeys(finding.rule for finding in findings):
        found = [finding for finding in findings if finding.rule == rule]
        more = f"\n... and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        examples = "\n".join(map(str, found[:_SHOWN])).replace("[", "\\[") + more
        table.add_row(rule, found[0].severity, str(len(found)), examples)
    return table


def _write_report(findings: Sequence[Finding], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as handle:
        rows = CsvWriter(handle)
        rows.writerow(["severity", "rule", "class", "kind", "descriptor", "detail"])
        for found in findings:
            texts = map(escaped, (found.name, found.kind or "", found.text, found.detail))
            rows.writerow([found.severity, found.rule, *texts])
