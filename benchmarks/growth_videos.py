"""What grows with the number of videos, without opening any; parts of `growth.py`."""

import csv
import random
import string
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from growth_measure import Work
from torch import Tensor

from ost_lightning.analysis.report.report import report_html
from ost_lightning.analysis.report.reported_run import ReportedRun
from ost_lightning.analysis.report.scored_videos import read_scored_videos
from ost_lightning.analysis.results.run_results import DataCard, RunResults, Score, SetResult
from ost_lightning.callbacks import PredictionWriter
from ost_lightning.callbacks.reporting.published_lists import digest_of, labels_digest_of
from ost_lightning.callbacks.reporting.training_record import TrainingRecord
from ost_lightning.datamodules import LabeledVideos, LoadingSettings, VideoLists
from ost_lightning.datamodules.decode_policy import apply_decode_policy
from ost_lightning.datamodules.decode_report import DecodeReport
from ost_lightning.datamodules.locate import locate
from ost_lightning.evaluation import SCORED, ClipSettings, EmbeddedBatch, EvaluationSet, ScoredBatch
from ost_lightning.evaluation.metrics import ConfusionCounts, RecognitionAccuracy
from ost_lightning.text import LabelSpace
from ost_lightning.video import EvaluationSampler, ReadFailure, TrainingSampler, VideoRecord
from ost_lightning.video.annotations import ClassIndex, draw_shots, read_kinetics, read_list, read_records
from ost_lightning.video.annotations.source_videos import source_in_name
from ost_lightning.video.annotations.split import split_by_source
from ost_lightning.vocabulary import AS_TRAINED

REMOTE, LOCAL = "https://videos.example", "/videos"
BATCH = 250
CLIPS = ClipSettings(frames=8, short_side=256, crop_size=224, framing="crop", sample_aspect=True, resize="bilinear")


@lru_cache(1)
def labels_of(videos: int) -> LabelSpace:
    """Classes of Kinetics-400, or fewer so that each has ten videos."""
    labels = LabelSpace.load("kinetics400")
    return labels.select(labels.names[: max(1, min(len(labels), videos // 10))])


@lru_cache(1)
def paths_of(videos: int) -> list[tuple[str, int]]:
    """Paths with the publisher's names below folders of classes, and labels; each source has two clips."""
    labels, draw, found = labels_of(videos), random.Random(0), []
    letters = string.ascii_letters + string.digits + "-_"
    for number in range(videos):
        if number % 2 == 0:
            label, name = number // 2 % len(labels), "".join(draw.choices(letters, k=11))
        start = 10 * (number % 2)
        folder = labels.names[label].replace(" ", "_")
        found.append((f"train/{folder}/{name}_{start:06d}_{start + 10:06d}.mp4", label))
    return found


@lru_cache(1)
def videos_of(videos: int, root: str = LOCAL) -> LabeledVideos:
    records = [VideoRecord(f"{root}/{path}", label, path) for path, label in paths_of(videos)]
    return LabeledVideos(records, labels_of(videos))


def list_of(videos: int, folder: Path) -> Path:
    file = folder / "list.txt"
    if not file.exists():
        file.write_text("".join(f"{path} {label}\n" for path, label in paths_of(videos)))
    return file


def reading_lines(videos: int, folder: Path) -> Work:
    file, labels = list_of(videos, folder), labels_of(videos)
    classes = ClassIndex(labels.names, labels.published)
    return lambda: read_records(file, classes)


def reading_any(videos: int, folder: Path) -> Work:
    file = list_of(videos, folder)
    return lambda: read_list(file)


def reading_table(videos: int, folder: Path) -> Work:
    labels, file = labels_of(videos), folder / "list.csv"
    with file.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["path", "label"])
        rows.writerows((path, labels.names[label]) for path, label in paths_of(videos))
    classes = ClassIndex(labels.names, labels.published)
    return lambda: read_records(file, classes)


def reading_kinetics(videos: int, folder: Path) -> Work:
    labels, file = labels_of(videos), folder / "kinetics.csv"
    with file.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        for path, label in paths_of(videos):
            id_, start, end = path.rpartition("/")[2].removesuffix(".mp4").rsplit("_", 2)
            rows.writerow([labels.names[label], id_, int(start), int(end), "train"])
    classes = ClassIndex(labels.names, labels.published)
    return lambda: read_kinetics(file, classes)


def finding_files(videos: int, folder: Path) -> Work:
    for path, _ in paths_of(videos):
        file = folder / path
        if not file.parent.is_dir():
            file.parent.mkdir(parents=True)
        file.touch()
    labels = labels_of(videos)
    records = [VideoRecord(path, label, path) for path, label in paths_of(videos)]
    return lambda: locate(records, str(folder), labels)


def data_module(videos: int, folder: Path) -> Work:
    """From the settings to the loader of a training; nothing is looked up below a URL."""
    file = list_of(videos, folder)
    labels_of(videos).save(folder / "labels")

    def work() -> object:
        loading = LoadingSettings(global_batch_size=10, workers=0)
        data = VideoLists(REMOTE, train=file, labels=str(folder / "labels"), clips=CLIPS, loading=loading)
        data.setup("fit")
        return data, data.train_dataloader()

    return work


def samplers(videos: int, folder: Path) -> Work:
    def work() -> int:
        training = TrainingSampler(videos, batch_size=10, seed=0)
        return sum(1 for sampler in (training, EvaluationSampler(videos)) for _ in sampler)

    return work


def shots(videos: int, folder: Path) -> Work:
    records = videos_of(videos).records
    ids, labels = [record.id for record in records], [record.label for record in records]
    return lambda: draw_shots(ids, labels, 2, seed=0)


def division(videos: int, folder: Path) -> Work:
    records, names = videos_of(videos).records, labels_of(videos).names

    def work() -> object:
        named = [(names[record.label], source_in_name(record.id) or record.id) for record in records]
        return split_by_source(named, {"test": 0.2, "val": 0.1}, seed=0)

    return work


def digests(videos: int, folder: Path) -> Work:
    listed = videos_of(videos)
    return lambda: (digest_of(listed), labels_digest_of(listed))


def training_record(videos: int, folder: Path) -> Work:
    listed = videos_of(videos)
    return lambda: TrainingRecord.of(listed, {}, seed=0, steps=1, before=None).seen(listed)


def batches(videos: int, probabilities: Tensor, labels: LabelSpace) -> Iterator[ScoredBatch]:
    """Scored batches of a test in which every hundredth video is unreadable."""
    evaluation_set = EvaluationSet("test", labels, videos)
    paths = paths_of(videos)
    for start in range(0, videos, BATCH):
        part = paths[start : start + BATCH]
        decoded = torch.tensor([(start + place) % 100 != 99 for place in range(len(part))])
        embedded = EmbeddedBatch(
            {},
            torch.tensor([label for _, label in part]),
            decoded,
            tuple(path for path, _ in part),
            tuple(
                ReadFailure(path, f"{path}: damaged")
                for (path, _), read in zip(part, decoded.tolist(), strict=True)
                if not read
            ),
            ((None, None),) * len(part),
        )
        yield ScoredBatch(evaluation_set, embedded, {AS_TRAINED: probabilities[: int(decoded.sum())]})


def probabilities_of(labels: LabelSpace) -> Tensor:
    return torch.randn(BATCH, len(labels), generator=torch.Generator().manual_seed(0)).softmax(1)


def metrics(videos: int, folder: Path) -> Work:
    labels = labels_of(videos)
    probabilities = probabilities_of(labels)

    def work() -> object:
        accuracy, confusion = RecognitionAccuracy(), ConfusionCounts(len(labels))
        truth = torch.arange(BATCH) % len(labels)
        for _ in range(0, videos, BATCH):
            accuracy.update(probabilities, truth)
            confusion.update(probabilities, truth)
        return accuracy.compute(), confusion.compute()

    return work


def decode_policy(videos: int, folder: Path) -> Work:
    scored = list(batches(videos, probabilities_of(labels_of(videos)), labels_of(videos)))
    loading = LoadingSettings(on_decode_error="count")

    def work() -> None:
        report = DecodeReport()
        for batch in scored:
            apply_decode_policy(report, batch.videos, "test", loading)
        report.write(folder / "undecodable.csv")

    return work


def write_predictions(videos: int, folder: Path, labels: LabelSpace, probabilities: Tensor) -> None:
    """Runs the callback that writes predictions, as in a test."""
    sets = {"test": videos_of(videos)}
    data = VideoLists(REMOTE)
    data._evaluation["test"] = sets
    trainer: Any = SimpleNamespace(datamodule=data, world_size=1, global_rank=0, is_global_zero=True)
    writer, module = PredictionWriter(folder), torch.nn.Module()
    writer.on_test_start(trainer, module)  # type: ignore[arg-type]
    for number, scored in enumerate(batches(videos, probabilities, labels)):
        writer.on_test_batch_end(trainer, module, {SCORED: scored}, None, number)  # type: ignore[arg-type]
    writer.on_test_end(trainer, module)  # type: ignore[arg-type]


def writing_predictions(videos: int, folder: Path) -> Work:
    labels = labels_of(videos)
    probabilities = probabilities_of(labels)
    videos_of(videos)
    return lambda: write_predictions(videos, folder / "run", labels, probabilities)


@lru_cache(1)
def run_of(videos: int, folder: Path) -> Path:
    """Folder of a test run."""
    labels = labels_of(videos)
    return write_run(videos, folder / "test/version_0", labels, probabilities_of(labels))


def write_run(videos: int, run: Path, labels: LabelSpace, probabilities: Tensor) -> Path:
    write_predictions(videos, run, labels, probabilities)
    rows = read_scored_videos(run)["test"]
    card = DataCard("labels", len(labels), "words", "", None, None, None, videos, videos, None, labels="")
    right, unread = sum(row.right for row in rows), sum(bool(row.error) for row in rows)
    score = Score(right / videos, right / videos, videos, unread)
    model = {"matcher": {"class": "OptimalDescriptorSolver"}}
    sets = {"test": SetResult(card, {"as trained": score})}
    RunResults("test/version_0", None, 0, "", None, model, {}, None, sets, [], []).save(run / "results.json")
    return run


def reading_predictions(videos: int, folder: Path) -> Work:
    run = run_of(videos, folder)
    return lambda: read_scored_videos(run)


def report(videos: int, folder: Path) -> Work:
    run = run_of(videos, folder)
    return lambda: report_html([ReportedRun.read(run)], folder)


def comparison(videos: int, folder: Path) -> Work:
    read = ReportedRun.read(run_of(videos, folder))
    return lambda: report_html([read, replace(read, folder=folder / "test/version_1")], folder)


VIDEOS = {
    "reading `path label` lines": reading_lines,
    "reading any list": reading_any,
    "reading a table": reading_table,
    "reading Kinetics' table": reading_kinetics,
    "finding files": finding_files,
    "list to loader": data_module,
    "samplers, one epoch": samplers,
    "few-shot draw": shots,
    "division into parts": division,
    "digests": digests,
    "training record": training_record,
}
PREDICTIONS = {
    "metrics": metrics,
    "unreadable videos": decode_policy,
    "writing predictions": writing_predictions,
    "reading predictions": reading_predictions,
    "report page": report,
    "report of two runs": comparison,
}
