"""Conditions of an evaluation set: its videos and their labels, class names, and the sentences that are encoded."""

import json
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from ost_lightning.analysis.results.published_lists import PublishedList
from ost_lightning.analysis.results.run_results import DataCard
from ost_lightning.callbacks.reporting.published_lists import digest_of, labels_digest_of
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.tasks import RecognitionTask
from ost_lightning.text import LabelSpace


def data_card(
    videos: LabeledVideos, task: RecognitionTask, published: PublishedList | None, in_training: int | None
) -> DataCard:
    """Returns the conditions of a set.

    Args:
        videos: Videos of the set.
        task: Task that scores them.
        published: Published list that the videos are (`published_as`); None if they are none.
        in_training: Number of videos that the weights were trained on; None if unknown.
    """
    labels = videos.labels
    sentences = sentence_digests(task, labels)
    return DataCard(
        label_space=label_space_name(labels),
        classes=len(labels),
        name_form=name_form(task, labels),
        digest=digest_of(videos),
        list=published.name if published else None,
        benchmark=published.benchmark if published else None,
        part=published.part if published else None,
        listed=len(videos.records),
        found=len(videos.found),
        in_training=in_training,
        labels=labels_digest_of(videos),
        sentences=sentences,
        vocabulary=vocabulary_digest(labels, described=bool(sentences.keys() - {"name"})),
    )


def label_space_name(labels: LabelSpace) -> str:
    """Returns the name under which a label space can be loaded."""
    return Path(labels.origin).name


def name_form(task: RecognitionTask, labels: LabelSpace) -> str:
    """Returns the form of the class names in the task's sentences."""
    return "as published" if task.templates.spells_as_published(labels) else "words"


def sentence_digests(task: RecognitionTask, labels: LabelSpace) -> dict[str, str]:
    """Returns a digest of the sentences of each kind that the task's matcher compares with a video.

    A digest covers each class with its sentences, in their order; it doesn't depend on the order of the classes.

    Args:
        task: Task with templates, matcher and number of descriptors.
        labels: Class names and descriptors.

    Returns:
        16 hexadecimal digits by kind.
    """
    return {
        kind: _digest(zip(labels.published, rows, strict=True))
        for kind, rows in task.sentences(labels).sentences.items()
    }


def vocabulary_digest(labels: LabelSpace, *, described: bool) -> str:
    """Returns a digest of a label space, or of the complete one that its classes were selected from.

    Parts of a data set with other classes each, such as base and novel, have the same one if they were selected from
    the same label space.

    Args:
        labels: Class names and descriptors.
        described: Whether the descriptors count too, not only the names.
    """
    complete = labels.selected_from or labels
    names = dict(zip(complete.published, complete.names, strict=True))
    texts = _descriptors(complete) | _descriptors(labels) if described else {}  # code may replace those of a selection
    return _digest((published, (name, texts.get(published, ()))) for published, name in names.items())


def _descriptors(labels: LabelSpace) -> dict[str, object]:
    """Returns the descriptors of each class, by the publisher's spelling."""
    pairs = zip(labels.published, map(labels.descriptors.get, labels.names), strict=True)
    # rephrased names only where there are any, because digests are older than they are
    return {
        published: (entry.spatio, entry.temporal, *([entry.rephrased] if entry.rephrased else []))
        for published, entry in pairs
        if entry is not None
    }


def _digest(entries: Iterable[tuple[str, object]]) -> str:
    content = json.dumps(sorted(entries, key=lambda entry: entry[0]))
    return blake2b(content.encode(), digest_size=8).hexdigest()
