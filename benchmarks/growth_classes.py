"""What grows with the number of classes; parts of `growth.py`."""

import random
from functools import cache, lru_cache
from pathlib import Path

import torch
from growth_measure import Work
from growth_videos import probabilities_of, write_run
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.analysis import class_errors
from ost_lightning.analysis.report.report import report_html
from ost_lightning.analysis.report.reported_run import ReportedRun
from ost_lightning.evaluation.metrics import ConfusionCounts, RecognitionAccuracy
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP, token_count
from ost_lightning.text import Descriptors, LabelSpace, SentenceSet, Templates
from ost_lightning.text.label_space_diff import compare
from ost_lightning.text.linting import lint
from ost_lightning.video.annotations import ClassIndex, draw_shots, read_records
from ost_lightning.video.annotations.split import split_by_source
from ost_lightning.vocabulary import SENTENCE_KINDS

DESCRIPTORS, EACH, FRAMES, WIDTH = 4, 10, 8, 256
"""Descriptors of each kind, videos of each class, frames of a video, and width of an embedding."""


@lru_cache(1)
def labels_of(classes: int) -> LabelSpace:
    draw = random.Random(0)
    words = [name for name in LabelSpace.load("kinetics400").names if " " not in name]

    def text(length: int) -> str:
        return " ".join(draw.choices(words, k=length))

    names = tuple(f"{text(2)} {number}" for number in range(classes))
    of_class = {name: Descriptors(*(tuple(text(6) for _ in range(DESCRIPTORS)) for _ in range(2))) for name in names}
    return LabelSpace(names, of_class, "made up")


@cache
def video_clip() -> VideoCLIP:
    return VideoCLIP("tiny").eval()


def sentences_of(classes: int) -> SentenceSet:
    return Templates.load("ost").apply(labels_of(classes), SENTENCE_KINDS, DESCRIPTORS, video_clip().token_count)


def truth(classes: int) -> Tensor:
    """Labels of ten videos of each class, shuffled."""
    return torch.arange(EACH * classes)[torch.randperm(EACH * classes, generator=generator())] % classes


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def reading_labels(classes: int, folder: Path) -> Work:
    labels_of(classes).save(folder / "labels")
    return lambda: LabelSpace.load(folder / "labels")


def selecting(classes: int, folder: Path) -> Work:
    labels = labels_of(classes)
    return lambda: labels.select(labels.names[::2])


def comparing(classes: int, folder: Path) -> Work:
    labels = labels_of(classes)
    other = LabelSpace(labels.names[1:], labels.descriptors)
    return lambda: compare(labels, other)


def checking(classes: int, folder: Path) -> Work:
    labels, templates, tokens = labels_of(classes), Templates.load("ost"), token_count("tiny")
    return lambda: lint(labels, templates, tokens)


def reading_named(classes: int, folder: Path) -> Work:
    """A list whose labels are names; each class has ten videos."""
    labels, file = labels_of(classes), folder / "named.txt"
    rows = enumerate(truth(classes).tolist())
    file.write_text("".join(f"videos {number}.mp4 {labels.names[label]}\n" for number, label in rows))
    return lambda: read_records(file, ClassIndex(labels.names))


def tokenizing(classes: int, folder: Path) -> Work:
    labels_of(classes), video_clip()
    return lambda: video_clip().tokenize(sentences_of(classes))


def batches_of_sentences(classes: int, folder: Path) -> Work:
    tokens = video_clip().tokenize(sentences_of(classes))
    return lambda: list(tokens.batches(256))


def encoding(classes: int, folder: Path) -> Work:
    tokens = video_clip().tokenize(sentences_of(classes))
    return lambda: video_clip().encode_sentences(tokens)


def matching(classes: int, folder: Path) -> Work:
    """Sixteen videos against all classes."""
    frames = normalize(torch.randn(16, FRAMES, WIDTH, generator=generator()) + 0.6, dim=-1)
    texts = [normalize(torch.randn(classes, DESCRIPTORS, WIDTH, generator=generator()) + 0.6, dim=-1) for _ in range(2)]
    matcher = OptimalDescriptorSolver().eval()
    return lambda: matcher(frames, *texts)


def accuracy(classes: int, folder: Path) -> Work:
    """A batch of 250 videos."""
    scores, labels = torch.randn(250, classes, generator=generator()), truth(classes)[:250]

    def work() -> object:
        metric = RecognitionAccuracy()
        metric.update(scores[: len(labels)], labels)
        return metric.compute()

    return work


def confusion(classes: int, folder: Path) -> Work:
    """1,000 videos, and the errors of each class."""
    names, labels = labels_of(classes).names, truth(classes).repeat(1000)[:1000]
    scores = torch.randn(250, classes, generator=generator())

    def work() -> object:
        counts = ConfusionCounts(classes)
        for part in labels.split(250):
            counts.update(scores, part)
        return class_errors(counts.compute(), names)

    return work


def shots(classes: int, folder: Path) -> Work:
    labels = truth(classes).tolist()
    ids = [f"{number}.mp4" for number in range(len(labels))]
    return lambda: draw_shots(ids, labels, 4, seed=0)


def division(classes: int, folder: Path) -> Work:
    videos = [(f"class {label}", f"source {number // 2}") for number, label in enumerate(truth(classes).tolist())]
    return lambda: split_by_source(videos, {"test": 0.2, "val": 0.1}, seed=0)


def report(classes: int, folder: Path) -> Work:
    labels = labels_of(classes)
    run = write_run(EACH * classes, folder / "test/version_0", labels, probabilities_of(labels))
    return lambda: report_html([ReportedRun.read(run)], folder)


CLASSES = {
    "reading a label space": reading_labels,
    "selecting classes": selecting,
    "`ost descriptors diff`": comparing,
    "`ost descriptors check`": checking,
    "reading a list with names": reading_named,
    "sentences and tokens": tokenizing,
    "batches of sentences": batches_of_sentences,
    "encoding sentences, tiny": encoding,
    "matching 16 videos": matching,
    "accuracy, 250 videos": accuracy,
    "confusion, 1,000 videos": confusion,
    "few-shot draw": shots,
    "division into parts": division,
    "report page": report,
}
