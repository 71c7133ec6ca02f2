"""Published evaluation lists: which one a set of videos is, whatever file it was read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import yaml

from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace, LabelSpaceError

TEST_PARTS: Final = ("split 1", "split 2", "split 3", "validation")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A published list of videos.

    Attributes:
        name: Of the list, for example `hmdb51-split1`.
        benchmark: Data set that it is for.
        part: Of the data set: `split 1`, `validation`, `base`, `novel`, `16 shots`.
        label_space: Name of the classes.
        videos: How many are listed, where all copies of the list agree.
        digest: Of their ids (`list_digest`), where all copies agree.
        about: How many are listed in copies that differ a little.
    """

    name: str
    benchmark: str
    part: str
    label_space: str
    videos: int | None = None
    digest: str | None = None
    about: int | None = None


@cache
def published_lists() -> tuple[Benchmark, ...]:
    """What `data/benchmarks.yaml` describes."""
    content = yaml.safe_load((shipped("data") / "benchmarks.yaml").read_text(encoding="utf-8"))
    return tuple(Benchmark(name, **entry) for name, entry in content.items())


def identify(digest: str, labels: LabelSpace, parts: Sequence[str] = ()) -> Benchmark | None:
    """The published list that a set of videos is.

    Known by its videos where the list has a digest; else by its classes, where only one list has them.

    Args:
        digest: Of the videos' ids.
        labels: Their classes.
        parts: Parts that come into question; all if not given.
    """
    candidates = [entry for entry in published_lists() if not parts or entry.part in parts]
    for entry in candidates:
        if entry.digest == digest:
            return entry
    alike = [entry for entry in candidates if entry.digest is None and same_classes(labels, entry.label_space)]
    return alike[0] if len(alike) == 1 else None


@cache
def _classes_of(label_space: str) -> frozenset[str] | None:
    try:
        return frozenset(LabelSpace.load(label_space).published)
    except LabelSpaceError:
        return None


def same_classes(labels: LabelSpace, label_space: str) -> bool:
    """Whether these are the classes of a label space that comes with the package, in any order and spelling."""
    return frozenset(labels.published) == _classes_of(label_space)
