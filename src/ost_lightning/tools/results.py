"""`ost results`: a table of runs and published figures."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv, write_text_atomically
from ost_lightning.tools.options import output_folder


def results(runs: Sequence[Path], output: Path | None = None) -> None:
    """Prints test runs in a table with the paper's and the best known figures, and the source of each.

    On a terminal the table is aligned; into a file or pipe it is written as Markdown.
    Runs that differ only in their seed are averaged. Deviations of runs from their protocol are listed below the table.

    Args:
        runs: Folders that are searched for test runs, including their subfolders.
        output: Folder for the table as results.csv and results.md; if not given, the table is only printed.
    """
    from ost_lightning.analysis.results.results_table import as_markdown, as_records, table
    from ost_lightning.analysis.results.run_results import RESULTS_FILE, RunResults, is_of_run
    from ost_lightning.analysis.terminal_table import print_markdown

    files = [file for folder in runs for file in _results_files(folder, RESULTS_FILE, is_of_run)]
    rows = table([RunResults.load(file) for file in files])
    text = as_markdown(rows)
    print_markdown(text)
    if output is not None:
        write_text_atomically(output_folder(output) / "results.md", text)
        records = as_records(rows)
        with atomic_write(output / "results.csv") as file, open_csv(file) as handle:
            writer = CsvWriter(handle)
            writer.writerow(records[0])
            writer.writerows(record.values() for record in records)


def _results_files(folder: Path, name: str, is_of_run: Callable[[Path], bool]) -> list[Path]:
    if folder.is_file():
        return [folder]
    files = sorted(filter(is_of_run, folder.rglob(name)))
    if not files:
        raise UserError(f"There is no {name} in {folder} or its subfolders. Expected folders that `ost test` wrote to.")
    return files
