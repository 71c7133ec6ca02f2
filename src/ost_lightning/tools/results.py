"""`ost results ...`: runs in one table with published figures."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from ost_lightning.analysis.results_table import as_markdown, as_records, table
from ost_lightning.analysis.run_results import RESULTS_FILE, RunResults
from ost_lightning.errors import UserError


def results(runs: Sequence[Path], csv_file: Path | None = None, markdown_file: Path | None = None) -> None:
    """Prints test runs beside the paper's figures and the best known ones, with who measured each.

    Runs that differ in their seed only are averaged. What sets a run apart from its protocol stands below the table.

    Args:
        runs: Folders; all test runs in them and below are collected.
        csv_file: File for the table as CSV.
        markdown_file: File for the table as Markdown.
    """
    files = [file for folder in runs for file in _results_files(folder)]
    rows = table([RunResults.load(file) for file in files])
    text = as_markdown(rows)
    print(text, end="")
    if markdown_file is not None:
        markdown_file.parent.mkdir(parents=True, exist_ok=True)
        markdown_file.write_text(text, encoding="utf-8")
    if csv_file is not None:
        csv_file.parent.mkdir(parents=True, exist_ok=True)
        records = as_records(rows)
        with csv_file.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(records[0]))
            writer.writeheader()
            writer.writerows(records)


def runs_as_one(args: Sequence[str]) -> list[str]:
    """Several folders on the command line as the one list that the parser takes."""
    command, *rest = args
    count = next((place for place, arg in enumerate(rest) if arg.startswith("-")), len(rest))
    folders = rest[:count]
    return [command, *([json.dumps(folders)] if folders else []), *rest[count:]]


def _results_files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    files = sorted(folder.rglob(RESULTS_FILE))
    if not files:
        raise UserError(
            f"There is no {RESULTS_FILE} in {folder} or below. Expected folders that `ost test` has written to."
        )
    return files
