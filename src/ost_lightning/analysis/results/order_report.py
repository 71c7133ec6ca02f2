"""How much of an accuracy depends on the order of the frames: scores of whole sets and of single classes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

from torch import Tensor

from ost_lightning.escaping import CsvWriter, markdown_text


@dataclass(frozen=True, slots=True)
class OrderScore:
    """Top-1 accuracy of some weights on one evaluation set, with the frames of every video in several orders.

    Attributes:
        top1: Top-1 accuracy in the frames' own order, 0 to 1.
        reversed: Top-1 accuracy from the last frame to the first, 0 to 1.
        shuffled: Mean Top-1 accuracy in random orders, 0 to 1: what the scene alone is worth.
        shuffled_std: Sample standard deviation over the random orders; None for one.
        error: Standard error of `order` over the videos.
        shuffles: Number of random orders of each video.
        seed: Seed of the random orders.
    """

    top1: float
    reversed: float
    shuffled: float
    shuffled_std: float | None
    error: float
    shuffles: int
    seed: int

    @property
    def order(self) -> float:
        """Accuracy that is lost without the order: `top1` minus `shuffled`."""
        return self.top1 - self.shuffled


@dataclass(frozen=True, slots=True)
class ClassOrder:
    """Top-1 accuracy on one class with the frames of every video in several orders.

    Attributes:
        name: Class name.
        videos: Number of videos of the class.
        top1: Share of them recognized in the frames' own order, 0 to 1.
        reversed: Share recognized from the last frame to the first, 0 to 1.
        shuffled: Mean share recognized in random orders, 0 to 1.
    """

    name: str
    videos: int
    top1: float
    reversed: float
    shuffled: float

    @property
    def order(self) -> float:
        """Accuracy that is lost without the order: `top1` minus `shuffled`."""
        return self.top1 - self.shuffled


def order_score(right: Tensor, videos: Tensor, error: float, seed: int) -> OrderScore:
    """Returns the score of a whole set.

    Args:
        right: Number of recognized videos, int64 (2 + S, K): in their own order, reversed, and in S random orders.
        videos: Number of videos of each class, int64 (K,).
        error: Standard error of the accuracy that is lost without the order.
        seed: Seed of the random orders.
    """
    own, backward, *random = (right.sum(1).double() / videos.sum().clamp(min=1)).tolist()
    return OrderScore(
        top1=round(own, 6),
        reversed=round(backward, 6),
        shuffled=round(sum(random) / len(random), 6),
        shuffled_std=round(stdev(random), 6) if len(random) > 1 else None,
        error=round(error, 6),
        shuffles=len(random),
        seed=seed,
    )


def class_orders(right: Tensor, videos: Tensor, names: Sequence[str]) -> list[ClassOrder]:
    """Returns the classes that have videos, those that lose most without the order first.

    Args:
        right: Number of recognized videos, int64 (2 + S, K); see `order_score`.
        videos: Number of videos of each class, int64 (K,).
        names: Class names.
    """
    shares = right.double() / videos.clamp(min=1)
    columns = zip(
        names, videos.tolist(), shares[0].tolist(), shares[1].tolist(), shares[2:].mean(0).tolist(), strict=True
    )
    return sorted((ClassOrder(*row) for row in columns if row[1]), key=lambda row: (-row.order, row.name))


def order_csv(classes: Mapping[str, Sequence[ClassOrder]]) -> str:
    """Returns CSV with one row per set of weights and class.

    Args:
        classes: Classes by name of the weights.
    """
    text = io.StringIO(newline="")
    rows = CsvWriter(text, lineterminator="\n")
    rows.writerow(["weights", "class", "videos", "top1", "reversed", "shuffled", "order"])
    for weights, found in classes.items():
        for one in found:
            figures = (one.top1, one.reversed, one.shuffled, one.order)
            rows.writerow([weights, one.name, one.videos, *(f"{figure:.4f}" for figure in figures)])
    return text.getvalue()


def class_table(classes: Sequence[ClassOrder]) -> str:
    """Returns a Markdown table with one row per class."""
    lines = [
        "| class | videos | Top-1 | reversed | shuffled | order |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in classes:
        figures = (one.top1, one.reversed, one.shuffled, one.order)
        shown = " | ".join(f"{100 * figure:.1f}" for figure in figures)
        lines.append(f"| {markdown_text(one.name)} | {one.videos:,} | {shown} |")
    return "\n".join(lines)


def score_table(scores: Mapping[str, Mapping[str, OrderScore]]) -> str:
    """Returns a Markdown table with one row per set and weights.

    Args:
        scores: Scores by set and name of the weights.
    """
    lines = [
        "| set | weights | Top-1 | reversed | shuffled | order | shuffles |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, by_weights in scores.items():
        for weights, one in by_weights.items():
            shuffled = f"{100 * one.shuffled:.1f}"
            if one.shuffled_std is not None:
                shuffled += f" ± {100 * one.shuffled_std:.1f}"
            lines.append(
                f"| {markdown_text(name)} | {markdown_text(weights)} | {100 * one.top1:.1f} | "
                f"{100 * one.reversed:.1f} | {shuffled} | {100 * one.order:.1f} ± {100 * one.error:.1f} | "
                f"{one.shuffles}, seed {one.seed} |"
            )
    return "\n".join(lines)
