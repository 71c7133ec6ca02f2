"""Flow and attention of a few videos of a test, for a report: the model is loaded again as it was tested."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ost_lightning.analysis.report.content import Figure
from ost_lightning.analysis.report.examples import typical_videos, worst_videos
from ost_lightning.analysis.report.pictures import picture_url
from ost_lightning.analysis.report.reported_run import CONFIG_FILE, ReportedRun
from ost_lightning.analysis.report.scored_videos import ScoredVideo
from ost_lightning.errors import UserError
from ost_lightning.models import weights_digest
from ost_lightning.recognition.explanations import draw_flows, draw_maps
from ost_lightning.recognition.recognizer import Recognizer
from ost_lightning.recognition.trained_model import load_tested_model
from ost_lightning.text import LabelSpace

LABEL_SPACES: Final = "label_spaces"
_MAPS: Final = 2
"""Number of sentences whose relevance is drawn."""
_SAME: Final = 0.02
"""Largest difference of a probability from the test's: numbers of other devices and precisions differ a little."""


def explain_run(run: ReportedRun, count: int, device: str | None = None) -> tuple[ReportedRun, tuple[Figure, ...]]:
    """Draws the matching flow and the relevance of patches for the worst and the most typical videos of a test.

    The settings of the run's `config.yaml` are used, whose classes are imported.

    Args:
        run: A test run.
        count: Number of videos of each kind and set.
        device: Device for computation; a GPU if available and otherwise the CPU, if not given.

    Returns:
        The run, with what could not be drawn among what is missing, and the pictures.
    """
    figures: list[Figure] = []
    missing = list(run.missing)
    try:
        for figure in _figures(run, count, device):
            figures.append(figure)
    except UserError as error:
        missing.append(f"Flow and attention are missing: {error}")
    return replace(run, missing=tuple(missing)), tuple(figures)


def _figures(run: ReportedRun, count: int, device: str | None) -> Iterator[Figure]:
    if run.results is None:
        return
    tested = run.results.checkpoint
    model = load_tested_model(run.folder / CONFIG_FILE, Path(tested["path"]) if tested is not None else None)
    if weights_digest(model.video_clip) != run.results.model.get("weights"):
        raise UserError("the weights are not those of the test any more.")
    for name, videos in run.videos.items():
        folder = run.folder / LABEL_SPACES / name
        if not folder.is_dir():
            raise UserError(f"the test did not save the classes of {name} in {folder}. Test the run again.")
        recognizer = Recognizer(model, LabelSpace.load(folder), device)
        for video in (*_readable(worst_videos(videos), count), *_readable(typical_videos(videos), count)):
            yield from _explained(recognizer, video)


def _readable(videos: Sequence[ScoredVideo], count: int) -> list[ScoredVideo]:
    """Returns whole videos that are still there."""
    whole = [video for video in videos if video.start is None and video.end is None]
    return [video for video in whole if video.path and Path(video.path).exists()][:count]


def _explained(recognizer: Recognizer, video: ScoredVideo) -> Iterator[Figure]:
    found = recognizer.explain(video.path, [*dict.fromkeys((video.recognized, video.label))])
    if abs(found[0].probability - video.probability) > _SAME:
        raise UserError(
            f"{video.id} now has the probability {found[0].probability:.2f} of '{video.recognized}', but had "
            f"{video.probability:.2f} in the test. Its video or its clip settings have changed."
        )
    title = f"{video.id}: recognized as '{video.recognized}', ground truth: '{video.label}'"
    with TemporaryDirectory() as folder:
        file = Path(folder) / "x.png"
        draw_flows(found, title, file)
        yield Figure(f"Matching flow of {title}", picture_url(file))
        best = sorted(found[0].matches, key=lambda match: -match.cosine)[:_MAPS]
        draw_maps(found[0], best, recognizer.maps(found[0], "relevance", best), file)
        about = f"Relevance of patches for the closest sentences of '{video.recognized}', {video.id}"
        yield Figure(about, picture_url(file))
