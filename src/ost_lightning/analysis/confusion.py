"""Confusion between classes: lowest recalls, and their most frequent mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ost_lightning.analysis.pictures import WIDTH, picture

_ROOMY: Final = 24
"""Number of classes up to which letters are large."""


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Recall and precision of one class, and its most frequent confusion.

    Attributes:
        name: Name of the class.
        videos: Number of its videos that were scored; unreadable ones are scored as wrong.
        recall: Share of its videos that are recognized, 0 to 1.
        precision: Share of its videos among those that are recognized as this class, 0 to 1; None if there are none.
        taken_for: Class that its videos are most often mistaken for; empty if all are recognized.
        mistakes: Number of its videos that are mistaken for that class.
    """

    name: str
    videos: int
    recall: float
    precision: float | None
    taken_for: str
    mistakes: int


def class_errors(confusion: Tensor, names: Sequence[str]) -> list[ClassErrors]:
    """Returns all classes that have videos, in the order of their labels.

    Args:
        confusion: Label, recognized class (-1 for unreadable videos) and number of videos, int64 (P, 3), in order; a
            pair of classes without videos has no row.
        names: K class names.
    """
    videos, right, recognized_as = ([0] * len(names) for _ in range(3))
    worst: dict[int, tuple[int, str]] = {}
    for label, guess, count in confusion.tolist():
        videos[label] += count
        if guess < 0:
            continue
        recognized_as[guess] += count
        if label == guess:
            right[label] = count
        elif count > worst.get(label, (0, ""))[0]:
            worst[label] = count, names[guess]
    found = []
    for k, name in enumerate(names):
        if videos[k]:
            precision = right[k] / recognized_as[k] if recognized_as[k] else None
            mistakes, taken_for = worst.get(k, (0, ""))
            found.append(ClassErrors(name, videos[k], right[k] / videos[k], precision, taken_for, mistakes))
    return found


def worst_classes(confusion: Tensor, names: Sequence[str], count: int) -> list[ClassErrors]:
    """Returns the classes with the lowest recall, worst first; classes without videos are omitted.

    Args:
        confusion: Label, recognized class and number of videos, int64 (P, 3); see `class_errors`.
        names: K class names.
        count: Largest number of classes to return.
    """
    return sorted(class_errors(confusion, names), key=lambda entry: (entry.recall, entry.name))[:count]


def draw_confusion(confusion: Tensor, names: Sequence[str], count: int, title: str, file: Path) -> None:
    """Draws the confusion between the worst classes and those that they are mistaken for.

    Args:
        confusion: Label, recognized class and number of videos, int64 (P, 3); see `class_errors`.
        names: K class names.
        count: Number of worst classes to show.
        title: Title of the picture; should say the metric and the number of videos.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    worst = worst_classes(confusion, names, count)
    shown = list(dict.fromkeys(name for entry in worst for name in (entry.name, entry.taken_for) if name))
    place_of = {name: place for place, name in enumerate(shown)}
    part, readable = torch.zeros(len(shown), len(shown), dtype=torch.int64), torch.zeros(len(shown), 1)
    for label, guess, videos in confusion.tolist():
        row = place_of.get(names[label])
        if row is None or guess < 0:
            continue
        readable[row] += videos
        if (column := place_of.get(names[guess])) is not None:
            part[row, column] = videos
    share = part / readable.clamp(min=1)
    side = min(WIDTH, 1.8 + 0.22 * len(shown))
    with picture(file, side + 0.4, side, title) as figure:
        axis = figure.subplots()
        axis.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        axis.spines[:].set_visible(True)
        axis.set_xticks([k - 0.5 for k in range(len(shown))], minor=True)
        axis.set_yticks([k - 0.5 for k in range(len(shown))], minor=True)
        axis.grid(which="minor", color="0.85", linewidth=0.5)
        axis.tick_params(which="minor", length=0)
        size = 7 if len(shown) <= _ROOMY else 5
        axis.set_xticks(range(len(shown)), shown, rotation=90, fontsize=size)
        axis.set_yticks(range(len(shown)), shown, fontsize=size)
        axis.set_xlabel("recognized as")
        axis.set_ylabel("ground truth")
        for row, column in part.nonzero().tolist():
            color = "white" if share[row, column] > 0.6 else "black"
            axis.text(
                column, row, str(int(part[row, column])), ha="center", va="center", fontsize=size - 1, color=color
            )
