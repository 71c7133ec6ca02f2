"""`ost report`: one page about one or several test runs."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from ost_lightning.tools.options import output_file

ReportFormat = Literal["html", "pdf"]


def report(runs: Sequence[Path], output: Path = Path("report.html"), format: ReportFormat | None = None) -> None:
    """Writes one page about one or several test runs, to look at or to send to somebody.

    The page shows accuracies with confidence intervals, classes against another run or the category names, confusion,
    the worst and the most typical videos, descriptors, learning curves, and what all scores depend on. It is one file
    that needs no network. Runs on the same videos are compared with the first one; those on others stand beside them.
    What a run did not save is said, with the option that saves it.

    Args:
        runs: Folders that are searched for test runs, including their subfolders.
        output: File to write.
        format: `html`, or `pdf`, which needs Chromium or Chrome; by the suffix of the file if not given.
    """
    output_file(output)
    as_pdf = (format or output.suffix.lower().removeprefix(".")) == "pdf"
    if as_pdf:
        from ost_lightning.pages.printing import find_browser, print_page

        find_browser()  # before any work
    from ost_lightning.analysis.report.report import write_report
    from ost_lightning.analysis.report.reported_run import ReportedRun, find_runs

    found = [ReportedRun.read(folder) for folder in find_runs(runs)]
    if as_pdf:
        with TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            write_report(found, page)
            print_page(page, output)
    else:
        write_report(found, output)
    for run in found:
        print(f"{run.name}: {run.problem}" if run.problem else f"{run.name}: {', '.join(run.videos) or 'scores alone'}")
    print(f"Report written to {output}")
