"""Prints the tables of docs/find.md about the rendered world as Markdown.

Each draw's test videos are indexed once per set of weights. Every class is then looked for by `Library.find`, and the
ranking compared with the one by the class's probability in `ost test`. For order pairs, whose classes have the same
steps in opposite order, only the videos of the pair are ranked. Tuned weights come from studies/beyond/train.py.
"""

import argparse
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ost_lightning import Recognizer
from ost_lightning.library import Library
from ost_lightning.library.asking import FoundSegments, Query, RankedBy
from ost_lightning.recognition import Recognition
from ost_lightning.resources import TINY_CLIP
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.dataset import RenderedPart, label_space, render_part
from ost_lightning.toyworld.grammar import DRAWS, Group

SIGMAS = (None, 0.3, 0.15)


class Shelf:
    """Test videos of one group of classes, in a library, and their `ost test` probabilities."""

    def __init__(self, folder: Path, weights: str, draw: int, group: Group, clips_per_class: int) -> None:
        part = RenderedPart(draw, group, "test", clips_per_class)
        self.labels = label_space(draw, group)
        videos = sorted(render_part(part).glob("*.mp4"))
        self.classes = {video.stem: video.stem.rpartition("_")[0].replace("_", " ") for video in videos}
        recognizer = Recognizer.load(weights, self.labels, device="cpu")
        library = Library.open(folder, create=True)
        library.index(videos, recognizer)
        self.library, self.weights = library, weights
        self.tested = {
            Path(one.video).stem: dict(zip(one.classes, one.probabilities, strict=True))
            for one in recognizer.stream(videos)
            if isinstance(one, Recognition)
        }

    def found(self, query: str | Query, labels: LabelSpace | None, ranked_by: RankedBy | None = None) -> FoundSegments:
        return self.library.find(query, labels, n=len(self.classes), ranked_by=ranked_by, weights=self.weights)

    def precision(self, name: str, scores: dict[str, float]) -> float:
        """Average precision of one class, in percent."""
        videos = list(self.classes)
        truth = [self.classes[video] == name for video in videos]
        return 100 * float(average_precision_score(truth, [scores[video] for video in videos]))

    def separation(self, name: str, other: str, scores: dict[str, float]) -> float:
        """Share of pairs of videos of both classes in which that of the class is ranked first, in percent."""
        videos = [video for video, own in self.classes.items() if own in (name, other)]
        truth = [self.classes[video] == name for video in videos]
        return 100 * float(roc_auc_score(truth, [scores[video] for video in videos]))


def scores_of(found: FoundSegments) -> dict[str, float]:
    return {Path(one.segment.video).stem: one.score for one in found.segments}


def classes(shelf: Shelf) -> dict[str, float]:
    """Mean average precision by way of ranking."""
    names = shelf.labels.names
    by = {
        "`ost test` probability": lambda name: {video: own[name] for video, own in shelf.tested.items()},
        "similarity": lambda name: scores_of(shelf.found(name, shelf.labels, "similarity")),
        "probability (default)": lambda name: scores_of(shelf.found(name, shelf.labels)),
        "name alone": lambda name: scores_of(shelf.found(name, None)),
    }
    return {way: float(np.mean([shelf.precision(name, scores(name)) for name in names])) for way, scores in by.items()}


def pairs(shelf: Shelf) -> dict[str, float]:
    """Mean separation of order pairs, by width of the order prior."""
    names, found = shelf.labels.names, {}
    for sigma in SIGMAS:
        separations = []
        for first, second in zip(names[::2], names[1::2], strict=True):
            for name, other in ((first, second), (second, first)):
                steps = shelf.labels.descriptors[name].temporal
                query = Query(name, shelf.labels.descriptors[name].spatio, steps, sigma)
                separations.append(shelf.separation(name, other, scores_of(shelf.found(query, None))))
                steps_only = Query(temporal=steps, order_sigma=sigma)
                found.setdefault(f"steps alone, {width(sigma)}", []).append(
                    shelf.separation(name, other, scores_of(shelf.found(steps_only, None)))
                )
        found[f"all descriptors, {width(sigma)}"] = separations
    return {way: float(np.mean(values)) for way, values in found.items()}


def width(sigma: float | None) -> str:
    return "plain" if sigma is None else f"`order_sigma` {sigma:g}"


def table(title: str, rows: Sequence[dict[str, float]], header: Iterable[str]) -> None:
    print(f"\n{title}\n")
    print(f"| ranked by | {' | '.join(header)} | mean | least |")
    print("| --- " * (len(rows) + 3) + "|")
    for way in rows[0]:
        values = [row[way] for row in rows]
        cells = [*(f"{value:.1f}" for value in values), f"{statistics.mean(values):.1f}", f"{min(values):.1f}"]
        print(f"| {way} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/library"))
    parser.add_argument("--tuned", type=Path, default=Path("runs/timeline/weights/paper"), help="folder of weights")
    parser.add_argument("--draw", type=int, nargs="+", default=list(range(DRAWS)))
    parser.add_argument("--clips", type=int, default=10, help="videos per class")
    parser.add_argument("--weights", nargs="+", choices=["tuned", "pretrained"], default=["tuned", "pretrained"])
    options = parser.parse_args()
    for weights in options.weights:
        ranked, separated = [], []
        for draw in options.draw:
            loaded = str(options.tuned / f"draw{draw}-seed0") if weights == "tuned" else TINY_CLIP
            for group, rows, measure in (("unseen", ranked, classes), ("order", separated, pairs)):
                folder = options.folder / weights / f"draw{draw}-{group}"
                rows.append(measure(Shelf(folder, loaded, draw, group, options.clips)))
        draws = [f"draw {draw}" for draw in options.draw]
        table(f"Mean average precision over unseen classes, {weights} weights", ranked, draws)
        table(f"Order pairs told apart, {weights} weights", separated, draws)


if __name__ == "__main__":
    main()
