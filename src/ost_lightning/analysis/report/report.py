"""Writes a report of test runs as one HTML page."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from ost_lightning.analysis.report.content import Figure, ReportContent, most_ordered, report_content
from ost_lightning.analysis.report.examples import Poster
from ost_lightning.analysis.report.intervals import DRAWS
from ost_lightning.analysis.report.reported_run import ReportedRun
from ost_lightning.files import write_text_atomically
from ost_lightning.pages import render_page
from ost_lightning.video.clips import middle_picture
from ost_lightning.vocabulary import counted


def write_report(
    runs: Sequence[ReportedRun],
    file: Path,
    poster: Poster = middle_picture,
    figures: Mapping[Path, Sequence[Figure]] | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> None:
    """Writes a page that needs no network.

    Args:
        runs: Runs in the order of the report; others on the same evaluation set are compared with the first one.
        file: File to write.
        poster: Reader of pictures of videos.
        figures: More pictures of a run, by its folder.
        progress: Function that is called with the name of the evaluation set that is being worked on.
    """
    write_text_atomically(file, report_html(runs, file.parent, poster, figures or {}, progress))


def report_html(
    runs: Sequence[ReportedRun],
    folder: Path,
    poster: Poster = middle_picture,
    figures: Mapping[Path, Sequence[Figure]] | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> str:
    """Returns the page that `write_report` writes.

    Args:
        runs: Runs in the order of the report.
        folder: Folder of the page.
        poster: Reader of pictures of videos.
        figures: More pictures of a run, by its folder.
        progress: Function that is called with the name of the evaluation set that is being worked on.
    """
    content = report_content(runs, folder, poster, figures or {}, progress)
    return render_page(
        "report",
        f"Test report: {', '.join(section.name for section in (*content.runs, *content.unfinished))}",
        {"videos": _playable(content)},
        report=content,
        most_ordered=most_ordered,
        counted=counted,
        draws=DRAWS,
        version=version("ost-lightning"),
    )


def _playable(content: ReportContent) -> list[dict[str, object]]:
    """Returns the videos that can be played, in the order of the page."""
    return [
        {
            "name": example.video.id,
            "url": example.url,
            "start": example.video.start or 0,
            "end": example.video.end,
        }
        for section in content.sets
        for run in section.runs
        for example in (*run.worst, *run.typical)
        if example.url is not None
    ]
