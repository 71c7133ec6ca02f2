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


def class_errors(confusion: Tensor, names: Sequence[str], unreadable: Tensor | None = None) -> list[ClassErrors]:
    """Returns all classes that have videos, in the order of their labels.

    Args:
        confusion: int (K, K), number of videos of class i that are recognized as class j.
        names: K class names.
        unreadable: int (K,), number of unreadable videos of each class; None for none.
    """
    videos = confusion.sum(1) + (0 if unreadable is None else unreadable)
    recognized_as, wrong = confusion.sum(0), confusion.clone().fill_diagonal_(0)
    found = []
    for k, name in enumerate(names):
        if not videos[k]:
            continue
        right, most = int(confusion[k, k]), int(wrong[k].argmax())
        precision = right / int(recognized_as[k]) if recognized_as[k] else None
        mistakes = int(wrong[k, most])
        taken_for = names[most] if mistakes else ""
        found.append(ClassErrors(name, int(videos[k]), right / int(videos[k]), precision, taken_for, mistakes))
    return found


def worst_classes(
    confusion: Tensor, names: Sequence[str], count: int, unreadable: Tensor | None = None
) -> list[ClassErrors]:
    """Returns the classes with the lowest recall, worst first; classes without videos are omitted.

    Args:
        confusion: int (K, K), number of videos of class i that are recognized as class j.
        names: K class names.
        count: Largest number of classes to return.
        unreadable: int (K,), number of unreadable videos of each class; None for none.
    """
    found = class_errors(confusion, names, unreadable)
    return sorted(found, key=lambda entry: (entry.recall, entry.name))[:count]


def draw_confusion(confusion: Tensor, names: Sequence[str], count: int, title: str, file: Path) -> None:
    """Draws the confusion between the worst classes and those that they are mistaken for.

    Args:
        confusion: int (K, K), number of videos of class i that are recognized as class j.
        names: K class names.
        count: Number of worst classes to show.
        title: Title of the picture; should say the metric and the number of videos.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    worst = worst_classes(confusion, names, count)
    shown = list(dict.fromkeys(name for entry in worst for name in (entry.name, entry.taken_for) if name))
    indices = torch.tensor([names.index(name) for name in shown], dtype=torch.long)
    part = confusion[indices][:, indices]
    share = part / confusion[indices].sum(1, keepdim=True).clamp(min=1)
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
