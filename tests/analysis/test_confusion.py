from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from ost_lightning.analysis import class_errors, draw_confusion, worst_classes

NAMES = ("run", "jump", "swim", "rest")


def rows_of(matrix: list[list[int]], unreadable: tuple[int, ...] = ()) -> Tensor:
    """Rows of label, recognized class and number of videos from a matrix with a row per label."""
    cells = [(label, guess, count) for label, row in enumerate(matrix) for guess, count in enumerate(row) if count]
    lost = [(label, -1, count) for label, count in enumerate(unreadable) if count]
    return torch.tensor(sorted(cells + lost)).view(-1, 3)


def test_worst_classes_come_first_with_their_most_frequent_mistake() -> None:
    confusion = rows_of([[1, 3, 0, 0], [0, 2, 1, 1], [0, 0, 4, 0], [0, 0, 0, 0]])
    worst = worst_classes(confusion, NAMES, 3)
    assert [(entry.name, entry.videos, entry.recall) for entry in worst] == [
        ("run", 4, 0.25),
        ("jump", 4, 0.5),
        ("swim", 4, 1.0),
    ]
    assert [(entry.taken_for, entry.mistakes) for entry in worst] == [("jump", 3), ("swim", 1), ("", 0)]


@given(counts=st.lists(st.integers(0, 9), min_size=16, max_size=16), count=st.integers(1, 5))
def test_classes_are_sorted_by_recall(counts: list[int], count: int) -> None:
    confusion = torch.tensor(counts).view(4, 4)
    worst = worst_classes(rows_of(confusion.tolist()), NAMES, count)
    assert len(worst) == min(count, int((confusion.sum(1) > 0).sum()))
    assert [entry.recall for entry in worst] == sorted(entry.recall for entry in worst)
    for entry in worst:
        row = confusion[NAMES.index(entry.name)]
        assert entry.videos == int(row.sum())
        assert not entry.taken_for or entry.mistakes == int(row[NAMES.index(entry.taken_for)])


def test_picture_grows_with_the_number_of_classes(tmp_path: Path) -> None:
    confusion = rows_of([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]])
    draw_confusion(confusion, NAMES, 1, "few", tmp_path / "few.png")
    draw_confusion(confusion, NAMES, 4, "all", tmp_path / "deep" / "all.png")
    assert Image.open(tmp_path / "deep" / "all.png").size > Image.open(tmp_path / "few.png").size


def test_precision_and_unreadable_videos() -> None:
    confusion = rows_of([[1, 3, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], (0, 2, 1, 0))
    run, jump, swim = class_errors(confusion, NAMES)
    assert (run.name, run.recall, run.precision) == ("run", 0.25, 1.0)
    assert (jump.name, jump.videos, jump.recall, jump.precision) == ("jump", 4, 0.5, 0.4)
    assert (swim.name, swim.videos, swim.recall, swim.precision, swim.taken_for) == ("swim", 1, 0.0, None, "")
