"""What a test run left in its folder, and what it did not."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from ost_lightning.analysis.report.curves import METRICS_FILE, LearningCurves, learning_curves
from ost_lightning.analysis.report.scored_videos import ScoredVideo, read_scored_videos
from ost_lightning.analysis.results.run_results import RESULTS_FILE, RunResults, Score, SetResult, is_of_run
from ost_lightning.errors import UserError
from ost_lightning.escaping import csv_text
from ost_lightning.vocabulary import AS_TRAINED, PRETRAINED

CONFIG_FILE: Final = "config.yaml"
USAGE_FILE: Final = "descriptor_usage.json"
_ROUNDING: Final = 1e-6
_NO_PREDICTIONS: Final = (
    "Classes, confusion and videos are missing, because the test saved no predictions: add "
    "--trainer.callbacks+=PredictionWriter to the test."
)
_NO_USAGE: Final = (
    "The use of descriptors, and the comparison with category names, are missing: add "
    "--trainer.callbacks+=DescriptorUsage to the test, with a matcher that has a transport plan."
)
_NO_ORDER: Final = "What the order of frames is worth is missing: add --order_report to the test."


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A test run on disk.

    Attributes:
        folder: Folder of the run.
        name: Name of the experiment and of the run.
        results: Scores and their conditions; None if the test has not finished.
        problem: Why there are no results; empty if there are.
        videos: Labeled rows of the predictions, by evaluation set; those of the task's own weights.
        usage: Use of descriptors by class, by evaluation set.
        orders: Rows of the report on the order of frames, by evaluation set.
        curves: Learning curves of the training that the weights came from.
        training: Folder of that training; None if there is none.
        flows: Pictures of matching flows from the last validation with figures of that training.
        missing: What the report lacks, and how to get it.
    """

    folder: Path
    name: str
    results: RunResults | None
    problem: str = ""
    videos: Mapping[str, Sequence[ScoredVideo]] = field(default_factory=dict)
    usage: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    orders: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    curves: tuple[LearningCurves, ...] = ()
    training: Path | None = None
    flows: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads all that a run left in its folder.

        Raises:
            UserError: If a file is damaged.
        """
        name = f"{folder.absolute().parent.name}/{folder.absolute().name}"
        if not (folder / RESULTS_FILE).is_file():
            return cls(folder, name, None, _why_unfinished(folder))
        results = RunResults.load(folder / RESULTS_FILE)
        videos, missing = _agreeing(read_scored_videos(folder), results, folder)
        usage = _usage(folder)
        if not usage:
            missing.append(_NO_USAGE)
        if not any(result.order for result in results.sets.values()):
            missing.append(_NO_ORDER)
        training = _training(folder, results)
        curves = learning_curves(training / METRICS_FILE) if training is not None else ()
        if results.checkpoint is not None and not curves:
            missing.append(f"Learning curves are missing: there is no training beside {results.checkpoint['path']}.")
        orders = {name: _order_rows(folder / f"{name}_order.csv") for name in results.sets}
        flows = _last_flows(training) if training is not None else ()
        return cls(folder, results.run, results, "", videos, usage, orders, curves, training, flows, tuple(missing))


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Returns the folders of test runs that were named, or that are below folders that were named.

    Args:
        paths: Folders of runs or of experiments, or `results.json` files. Below them, trainings are passed over.

    Raises:
        UserError: If a path has no test run.
    """
    found: list[Path] = []
    for path in paths:
        folder = path.parent if path.name == RESULTS_FILE else path
        if _is_run(folder):
            found.append(folder)
            continue
        files = (*folder.rglob(RESULTS_FILE), *folder.rglob(CONFIG_FILE)) if folder.is_dir() else ()
        below = sorted({file.parent for file in files if _is_run(file.parent)}, key=_by_number)
        tests = [run for run in below if (run / RESULTS_FILE).is_file() or not _is_training(run)]
        if not tests:
            raise UserError(
                f"There is no test run in {path} or its subfolders. Expected folders that `ost test` wrote to, with "
                f"{RESULTS_FILE}."
            )
        found += tests
    return list(dict.fromkeys(found))


def own_score(result: SetResult) -> Score | None:
    """Returns the score of the task's own weights, whose predictions a test saves; None if there is none."""
    return result.scores.get(AS_TRAINED) or result.scores.get(PRETRAINED)


def _by_number(folder: Path) -> tuple[str, int, str]:
    """Sorts `version_10` after `version_9`."""
    stem, _, number = folder.name.rpartition("_")
    return (str(folder.parent), int(number) if number.isdecimal() else -1, stem or folder.name)


def _is_run(folder: Path) -> bool:
    """Returns whether a folder is that of a run, finished or not."""
    return (folder / CONFIG_FILE).is_file() or is_of_run(folder / RESULTS_FILE)


def _is_training(folder: Path) -> bool:
    return (folder / "checkpoints").is_dir() or (folder / ".lock").is_file()


def _why_unfinished(folder: Path) -> str:
    if _is_training(folder):
        return "This is a training. Test its checkpoint with `ost test`, and name the folder of that run."
    return f"There is no {RESULTS_FILE}: the test was stopped, failed, or is still running. Test the run again."


def _agreeing(
    videos: Mapping[str, Sequence[ScoredVideo]], results: RunResults, folder: Path
) -> tuple[dict[str, Sequence[ScoredVideo]], list[str]]:
    """Returns the predictions that the scores were counted from, and what is wrong with the others."""
    if not videos:
        return {}, [_NO_PREDICTIONS]
    agreeing: dict[str, Sequence[ScoredVideo]] = {}
    doubts = []
    for name, result in results.sets.items():
        score = own_score(result)
        rows = videos.get(name, ())
        right = sum(row.right for row in rows)
        if score is not None and len(rows) == score.scored and abs(right / len(rows) - score.top1) <= _ROUNDING:
            agreeing[name] = rows
            continue
        told = "no score of these weights" if score is None else f"{round(score.top1 * score.scored)} of {score.scored}"
        doubts.append(
            f"The predictions of {name} in {folder} are not used: {right} of {len(rows)} rows are right, but "
            f"{RESULTS_FILE} has {told}. They are from another test, or a part is missing. Test the run again."
        )
    return agreeing, doubts


def _usage(folder: Path) -> dict[str, Sequence[Mapping[str, Any]]]:
    file = folder / USAGE_FILE
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {name: tuple(entry["classes"]) for name, entry in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is not the table of DescriptorUsage ({error!r}). Test the run again.") from error


def _order_rows(file: Path) -> tuple[dict[str, str], ...]:
    if not file.is_file():
        return ()
    with file.open(newline="", encoding="utf-8") as handle:
        return tuple({name: csv_text(cell or "") for name, cell in row.items()} for row in csv.DictReader(handle))


def _training(folder: Path, results: RunResults) -> Path | None:
    """Returns the folder of the training of the tested checkpoint, which may have moved together with the test."""
    if results.checkpoint is None:
        return None
    named = Path(results.checkpoint["path"]).parent.parent
    candidates = (named, folder.parent / named.name, folder.parent.parent / named.parent.name / named.name)
    return next((place for place in candidates if (place / METRICS_FILE).is_file()), None)


def _last_flows(training: Path) -> tuple[Path, ...]:
    """Returns the pictures that SampleFigures drew last; their folders are named `epoch{e}-step{s}`."""
    found = (training / "figures").glob("epoch*-step*")
    folders = sorted(found, key=lambda folder: folder.name.rpartition("step")[2].zfill(12))
    return tuple(sorted(folders[-1].glob("*_flow.png"))) if folders else ()
