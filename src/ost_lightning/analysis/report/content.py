"""Content of a report: what each section shows, before it is drawn."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ost_lightning.analysis.report.comparison import ComparedClass, Comparison, compare_videos, compare_with_names
from ost_lightning.analysis.report.confused import Confusion, confusion
from ost_lightning.analysis.report.examples import Example, Poster, examples, typical_videos, worst_videos
from ost_lightning.analysis.report.intervals import Estimate, bootstrap
from ost_lightning.analysis.report.pictures import picture_url
from ost_lightning.analysis.report.reported_run import ReportedRun, own_score
from ost_lightning.analysis.report.scored_videos import ScoredVideo, hits_by_video
from ost_lightning.analysis.results.run_results import DataCard, RunResults, Score, SetResult
from ost_lightning.dotted_names import flatten
from ost_lightning.vocabulary import AS_TRAINED, PRETRAINED

_SHOWN_DESCRIPTORS: Final = 12
_SHOWN_ORDERS: Final = 10
_NO_FIGURES: Final = "Matching flow and attention of single videos are missing: add --explain 1 to `ost report`."


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture in a report.

    Attributes:
        caption: What it shows.
        url: URL that contains it.
    """

    caption: str
    url: str


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """Accuracy of some weights of one run on one evaluation set.

    Attributes:
        run: Name of the run.
        matcher: Class of the matcher.
        weights: Name of the weights.
        score: The score.
        top1: Top-1 accuracy with its interval; None if nothing was scored.
        top5: Top-5 accuracy with its interval; None if nothing was scored.
        comparison: Comparison with the first run; None for that run itself, for mixtures, and without predictions.
    """

    run: str
    matcher: str
    weights: str
    score: Score
    top1: Estimate | None
    top5: Estimate | None
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class RunOnSet:
    """What one run recognized in one evaluation set.

    Attributes:
        run: Name of the run.
        set: Name of the set in that run.
        score: Score of the task's own weights; None if only mixtures were scored.
        comparisons: Comparisons by class.
        classes: Classes by recall, the lowest first; empty if there is a comparison.
        confusion: What classes are recognized as; None without predictions.
        worst: The most certain mistakes.
        typical: The most typical recognitions.
    """

    run: str
    set: str
    score: Score | None
    comparisons: tuple[Comparison, ...]
    classes: tuple[ComparedClass, ...]
    confusion: Confusion | None
    worst: tuple[Example, ...]
    typical: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class SetSection:
    """All runs on one evaluation set.

    Attributes:
        name: Name of the set.
        card: Conditions of the set in the first run.
        rows: Accuracies.
        runs: What each run recognized.
    """

    name: str
    card: DataCard
    rows: tuple[AccuracyRow, ...]
    runs: tuple[RunOnSet, ...]


@dataclass(frozen=True, slots=True)
class RunSection:
    """What is known about one run.

    Attributes:
        run: The run.
        name: Name of the run, which no other run of the report has.
        missing: What the report lacks about the run, and how to get it.
        usage: Summary of the use of descriptors, by evaluation set.
        figures: Pictures.
        conditions: What the scores depend on, by title of the part.
    """

    run: ReportedRun
    name: str
    missing: tuple[str, ...]
    usage: Mapping[str, Mapping[str, Any]]
    figures: tuple[Figure, ...]
    conditions: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Content of a report.

    Attributes:
        sets: Evaluation sets, which are shown side by side and never averaged.
        runs: Runs with results.
        unfinished: Runs without results.
    """

    sets: tuple[SetSection, ...]
    runs: tuple[RunSection, ...]
    unfinished: tuple[RunSection, ...]

    @property
    def has_transductive(self) -> bool:
        """Whether a run has scores with a test-time cache, which have a section of their own."""
        results = [section.run.results for section in self.runs]
        return any(result.transductive for run in results if run is not None for result in run.sets.values())


def report_content(
    runs: Sequence[ReportedRun],
    folder: Path,
    poster: Poster,
    figures: Mapping[Path, Sequence[Figure]],
    progress: Callable[[str], None] = lambda what: None,
) -> ReportContent:
    """Collects the content of a report.

    Args:
        runs: Runs in the order of the report; the first one on each set is what others are compared with.
        folder: Folder of the report, which URLs of videos are relative to.
        poster: Reader of pictures of videos.
        figures: More pictures of a run, by its folder.
        progress: Function that is called with what is being worked on.
    """
    counts = Counter(run.name for run in runs)
    names = {run.folder: run.name if counts[run.name] == 1 else str(run.folder) for run in runs}
    sets: dict[object, list[tuple[ReportedRun, RunResults, str]]] = {}
    for run in runs:
        if run.results is not None:
            for name, result in run.results.sets.items():
                card = result.card
                sets.setdefault((card.digest, card.labels, card.classes), []).append((run, run.results, name))
    sections = []
    for tested in sets.values():
        progress(tested[0][2])
        sections.append(_set_section(tested, names, folder, poster))
    about = [
        RunSection(
            run,
            names[run.folder],
            run.missing if run.folder in figures else (*run.missing, _NO_FIGURES),
            {name: _usage_summary(classes) for name, classes in run.usage.items()},
            (*_training_flows(run), *figures.get(run.folder, ())),
            _conditions(run.results) if run.results is not None else {},
        )
        for run in runs
    ]
    return ReportContent(
        tuple(sections),
        tuple(section for section in about if section.run.results is not None),
        tuple(section for section in about if section.run.results is None),
    )


def _training_flows(run: ReportedRun) -> tuple[Figure, ...]:
    about = "Matching flow of the first video of a set in the last validation with figures"
    return tuple(Figure(f"{about}: {file.name.removesuffix('_flow.png')}", picture_url(file)) for file in run.flows)


def _set_section(
    tested: Sequence[tuple[ReportedRun, RunResults, str]], names: Mapping[Path, str], folder: Path, poster: Poster
) -> SetSection:
    first, _, first_set = tested[0]
    rows: list[AccuracyRow] = []
    shown = []
    for run, results, name in tested:
        videos, result = run.videos.get(name, ()), results.sets[name]
        with_first = None
        if run is not first and videos and (others := first.videos.get(first_set)):
            with_first = compare_videos(videos, others, names[first.folder])
        rows += _accuracy_rows(names[run.folder], results, result, videos, with_first)
        comparisons = [compare_with_names(run.usage[name])] if run.usage.get(name) else []
        comparisons += [with_first] if with_first is not None else []
        shown.append(
            RunOnSet(
                names[run.folder],
                name,
                own_score(result),
                tuple(comparisons),
                () if comparisons else _recalls(videos),
                confusion(videos) if videos else None,
                examples(worst_videos(videos), folder, poster),
                examples(typical_videos(videos), folder, poster),
            )
        )
    return SetSection(first_set, tested[0][1].sets[first_set].card, tuple(rows), tuple(shown))


def _accuracy_rows(
    run: str,
    results: RunResults,
    result: SetResult,
    videos: Sequence[ScoredVideo],
    comparison: Comparison | None,
) -> list[AccuracyRow]:
    found = []
    for weights, score in result.scores.items():
        own = weights in (AS_TRAINED, PRETRAINED)
        top1 = bootstrap(*hits_by_video(videos)) if own and videos else _counted(score.top1, score.scored)
        found.append(
            AccuracyRow(
                run,
                results.model["matcher"]["class"],
                weights,
                score,
                top1,
                _counted(score.top5, score.scored),
                comparison if own else None,
            )
        )
    return found


def _counted(share: float, videos: int) -> Estimate | None:
    """Returns a share of videos with its interval."""
    if not videos:
        return None
    right = round(share * videos)
    return bootstrap(np.repeat([1, 0], [right, videos - right]), np.ones(videos, np.int64))


def _recalls(videos: Sequence[ScoredVideo]) -> tuple[ComparedClass, ...]:
    total, right = Counter(video.label for video in videos), Counter(video.label for video in videos if video.right)
    found = [ComparedClass(name, count, right[name] / count, 0.0, None) for name, count in total.items()]
    return tuple(sorted(found, key=lambda one: (one.recall, one.name)))


def _usage_summary(classes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the number of descriptors, and those that are least and most often the closest one to a frame."""
    uses = [(entry["name"], use) for entry in classes for use in entry["descriptors"]]
    uses.sort(key=lambda pair: (pair[1]["closest"], pair[1]["cosine"]))
    half = min(_SHOWN_DESCRIPTORS, len(uses) // 2)
    return {
        "descriptors": len(uses),
        "unused": sum(use["closest"] == 0 for _, use in uses),
        "least": uses[:half],
        "most": uses[: -half - 1 : -1] if half else [],
    }


def most_ordered(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Returns the classes of the first weights that lose most without the order of their frames."""
    weights = rows[0]["weights"] if rows else ""
    return [row for row in rows if row["weights"] == weights][:_SHOWN_ORDERS]


def _conditions(results: RunResults) -> dict[str, dict[str, str]]:
    """Returns everything that the scores of a run depend on, by part and dotted name."""
    parts: dict[str, Mapping[str, Any]] = {
        "Run": {
            "protocol": results.protocol or "none named",
            "seed": results.seed,
            "ost_lightning": results.package,
            "revision": (results.git or {}).get("revision"),
            "changed since": (results.git or {}).get("changed"),
        },
        "Model": results.model,
        "Clips": results.clips,
        "Checkpoint": results.checkpoint or {},
    }
    for name, result in results.sets.items():
        card = result.card
        parts[f"Test set {name}"] = {field: getattr(card, field) for field in card.__dataclass_fields__}
    return {
        title: {name: _text(value) for name, value in flatten(part).items() if value is not None}
        for title, part in parts.items()
        if part
    }


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
