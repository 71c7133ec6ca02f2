"""`ost report`: one page about one or several test runs."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from ost_lightning.errors import UserError
from ost_lightning.tools.options import output_file

if TYPE_CHECKING:
    from ost_lightning.analysis.report.content import Figure

ReportFormat = Literal["html", "pdf"]


def report(
    runs: Sequence[Path],
    output: Path = Path("report.html"),
    format: ReportFormat | None = None,
    explain: int = 0,
    device: str | None = None,
) -> None:
    """Writes one page about one or several test runs, to look at or to send to somebody.

    The page shows accuracies with confidence intervals, classes against another run or the category names, confusion,
    the worst and the most typical videos, descriptors, learning curves, and what all scores depend on. It is one file
    that needs no network. Runs on the same videos are compared with the first one; those on others stand beside them.
    What a run did not save is said, with the option that saves it.

    Args:
        runs: Folders that are searched for test runs, including their subfolders.
        output: File to write.
        format: `html`, or `pdf`, which needs Chromium or Chrome; by the suffix of the file if not given.
        explain: Number of the worst and of the most typical videos whose matching flow and attention are drawn, of each
            run and set. The weights are loaded for it, and the classes that `config.yaml` of the run names.
        device: Device for explanations; a GPU if available and otherwise the CPU, if not given.
    """
    if explain < 0:
        raise UserError(f"--explain is {explain}: give a number of videos, or 0 for none.")
    output_file(output)
    as_pdf = (format or output.suffix.lower().removeprefix(".")) == "pdf"
    if as_pdf:
        from ost_lightning.pages.printing import find_browser, print_page

        find_browser()  # before any work
    from ost_lightning.analysis.report.report import write_report
    from ost_lightning.analysis.report.reported_run import ReportedRun, find_runs

    found = [ReportedRun.read(folder) for folder in find_runs(runs)]
    figures: dict[Path, Sequence[Figure]] = {}
    if explain:
        from ost_lightning.recognition.tested_videos import explain_run

        for index, run in enumerate(found):
            found[index], figures[run.folder] = explain_run(run, explain, device)
    if as_pdf:
        with TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            write_report(found, page, figures=figures)
            print_page(page, output)
    else:
        write_report(found, output, figures=figures)
    for run in found:
        print(f"{run.name}: {run.problem}" if run.problem else f"{run.name}: {', '.join(run.videos) or 'scores alone'}")
    print(f"Report written to {output}")
