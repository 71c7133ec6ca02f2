"""What labeled videos of seen classes teach about descriptors, and what of it holds for unseen classes.

The reliability of a descriptor is how much better the videos of its class fit it than all videos do; that of an order
of steps is how much better they fit it than its reverse. Both are estimated on some videos of the seen classes and
shrunk to their mean. What belongs to a class is unknown for unseen classes: they get what is shared by all classes, or
what the most similar seen descriptor or class has. `score` writes a file per draw, `report` prints the tables.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from hallucination import Weights, terms_by_kind
from score import DRAWS
from spreads import cell, difference, table
from torch import Tensor
from torch.nn.functional import normalize
from world import DESCRIPTORS, Encoded, Encoder

from ost_lightning.matching import BALANCED, TransportProblem, solve_transport
from ost_lightning.matching.matchers import pairwise_cosines
from ost_lightning.vocabulary import DESCRIPTOR_KINDS

PART = (0, 0, 1, 2, 2)
"""Part of each of five videos of a class: 0 to estimate on, 1 to choose settings on, 2 to test on."""
TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
KIND_SHARES = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0)
ORDER_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
SIGMA = 0.3
LARGEST_FACTOR = 2.0
"""Largest multiple of the mean weight that a class's order may have."""
OWN = "each descriptor's own, shrunk"
SIMILAR = "that of the most similar seen descriptor"
SHUFFLED = {"clean": 0.0, "a third shuffled": 1 / 3, "all shuffled": 1.0}
"""Share of the classes, seen and unseen, whose steps are listed in a random order."""
Found = dict[str, float]


def part(encoded: Encoded, number: int) -> Encoded:
    """Returns some of the videos; every class has videos in each part."""
    seen: dict[int, int] = {}
    chosen = []
    for video, label in enumerate(encoded.labels.tolist()):
        place = seen[label] = seen.get(label, -1) + 1
        if PART[place % len(PART)] == number:
            chosen.append(video)
    return replace(encoded, frames=encoded.frames[chosen], labels=encoded.labels[chosen])


def shrunk(samples: Sequence[Tensor]) -> Tensor:
    """Returns the means of some groups of samples, shrunk to their common mean by how much of them is noise.

    Args:
        samples: Samples of each group, (n_i, ...).

    Returns:
        Shrunk means, (groups, ...).
    """
    means = torch.stack([each.mean(0) for each in samples])
    noise = statistics.mean(float(each.var(0).mean()) / len(each) for each in samples)
    between = max(0.0, float(means.var()) - noise)
    return means.mean() + between / (between + noise) * (means - means.mean())


def of_own_class(values: Tensor, labels: Tensor) -> list[Tensor]:
    """Returns, for each class, the values (videos of the class, ...) among (B, K, ...) that are about itself."""
    return [values[labels == label, label] for label in range(values.shape[1])]


def accuracy(similarities: Tensor, labels: Tensor) -> float:
    return 100 * float((similarities.argmax(1) == labels).double().mean())


def reliabilities(encoded: Encoded) -> dict[str, Tensor]:
    """Returns the reliability of each descriptor by kind, (K, N), in standard deviations over videos."""
    found = {}
    for kind in DESCRIPTOR_KINDS:
        closest = pairwise_cosines(encoded.frames, encoded.texts[kind]).amax(2)
        found[kind] = shrunk(of_own_class((closest - closest.mean(0)) / closest.std(0), encoded.labels))
    return found


def weights_of(reliability: dict[str, Tensor], temperature: float) -> Weights:
    return {kind: (each / temperature).softmax(-1) for kind, each in reliability.items()}


def shared_by_position(reliability: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    return {kind: each.mean(0).expand(classes, -1) for kind, each in reliability.items()}


def most_similar(seen: Encoded, unseen: Encoded, reliability: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns, for each unseen descriptor, the reliability of the seen one with the closest sentence."""
    found = {}
    for kind, each in reliability.items():
        nearest = torch.einsum("knd,jmd->knjm", unseen.texts[kind], seen.texts[kind]).flatten(2).argmax(-1)
        found[kind] = each.flatten()[nearest]
    return found


def weighted(encoded: Encoded, weights: Weights | None = None, spatio: float = 0.5) -> Tensor:
    """Returns the score of Eq. 13 with weights of descriptors and a share of the spatio kind, (B, K)."""
    pooled, transported = terms_by_kind(encoded, weights)
    first, second = ((a + b) / 2 for a, b in zip(pooled, transported, strict=True))
    return spatio * first + (1 - spatio) * second


def descriptors_scored(seen: Encoded, unseen: Encoded) -> Iterator[tuple[str, str, float]]:
    """Yields the accuracy on test videos of seen classes and on unseen classes of every rule."""
    fit, choose, test = (part(seen, number) for number in range(3))
    reliability = reliabilities(fit)

    def chosen(of: dict[str, Tensor]) -> float:
        return max(TEMPERATURES, key=lambda one: accuracy(weighted(choose, weights_of(of, one)), choose.labels))

    both = {"seen": test, "unseen": unseen}
    share = max(KIND_SHARES, key=lambda one: accuracy(weighted(choose, spatio=one), choose.labels))
    positions = shared_by_position(reliability, len(seen.texts["spatio"]))
    temperature, of_positions = chosen(reliability), chosen(positions)
    for group, encoded in both.items():
        yield group, "equal weights", accuracy(weighted(encoded), encoded.labels)
        yield group, "one share of the kinds", accuracy(weighted(encoded, spatio=share), encoded.labels)
        shared = shared_by_position(reliability, len(encoded.texts["spatio"]))
        weights = weights_of(shared, of_positions)
        yield group, "one weight per position", accuracy(weighted(encoded, weights), encoded.labels)
        own = group == "seen"
        weights = weights_of(reliability if own else most_similar(seen, unseen, reliability), temperature)
        yield group, OWN if own else SIMILAR, accuracy(weighted(encoded, weights), encoded.labels)


class Ordered:
    """Score and evidence for the order of a group."""

    def __init__(self, encoded: Encoded) -> None:
        self.labels = encoded.labels
        self.base = weighted(encoded)
        cosines = pairwise_cosines(encoded.frames, encoded.texts["temporal"])
        problem = replace(BALANCED, order_sigma=SIGMA)
        forward, backward = (_flow(each, problem) for each in (cosines, cosines.flip(-1)))
        self.contrast = forward - backward

    def accuracy(self, weight: float | Tensor) -> float:
        """Returns the accuracy with one weight, or one per class, as in Eq. 13 with four terms."""
        return accuracy(self.base + weight * self.contrast.relu() / 4, self.labels)

    def part(self, of: Encoded, number: int) -> "Ordered":
        """Returns some of the videos."""
        rows = part(replace(of, frames=torch.arange(len(of.labels))), number).frames
        some = object.__new__(Ordered)
        some.labels, some.base, some.contrast = self.labels[rows], self.base[rows], self.contrast[rows]
        return some


def _flow(cosines: Tensor, problem: TransportProblem) -> Tensor:
    return (solve_transport(cosines, problem=problem, max_iterations=100).plan * cosines).sum((-1, -2))


def orders_scored(seen: Encoded, unseen: Encoded) -> Iterator[tuple[str, str, float]]:
    """Yields the accuracy on test videos of seen classes and on unseen classes of every rule."""
    all_seen = Ordered(seen)
    fit, choose, test = (all_seen.part(seen, number) for number in range(3))
    reliability = shrunk(of_own_class(fit.contrast, fit.labels))
    factors = (reliability / reliability.mean().clamp(min=1e-6)).clamp(0, LARGEST_FACTOR)
    weight = max(ORDER_WEIGHTS, key=choose.accuracy)
    of_class = max(ORDER_WEIGHTS, key=lambda one: choose.accuracy(one * factors))
    steps = [normalize(one.texts["temporal"].mean(1), dim=-1) for one in (unseen, seen)]
    nearest = (steps[0] @ steps[1].T).argmax(1)
    for group, ordered in (("seen", test), ("unseen", Ordered(unseen))):
        yield group, "no evidence", ordered.accuracy(0.0)
        yield group, "weight 2", ordered.accuracy(2.0)
        yield group, "one weight, chosen on seen classes", ordered.accuracy(weight)
        own = group == "seen"
        name = "each class's own, shrunk" if own else "that of the most similar seen class"
        yield group, name, ordered.accuracy(of_class * (factors if own else factors[nearest]))


def with_some_shuffled(encoded: Encoded, share: float, seed: int) -> Encoded:
    """Shuffles the steps of a share of the classes."""
    generator = torch.Generator().manual_seed(seed)
    temporal = encoded.texts["temporal"]
    changed = torch.rand(len(temporal), generator=generator).argsort() < round(share * len(temporal))
    orders = torch.stack(
        [
            torch.randperm(DESCRIPTORS, generator=generator) if one else torch.arange(DESCRIPTORS)
            for one in changed.tolist()
        ]
    )
    shuffled = temporal.gather(1, orders[..., None].expand_as(temporal))
    return replace(encoded, texts={**encoded.texts, "temporal": shuffled})


@torch.no_grad()
def score(draw: int, folder: Path) -> None:
    """Writes the accuracies of a draw, with the pre-trained weights, unless they are there."""
    file = folder / "reliability" / f"draw{draw}.json"
    if file.is_file():
        return
    encoder, found = Encoder("tiny", draw), {}
    for count in (0, 1):
        seen, unseen = (encoder.encode(group, encoder.hallucinated(group, count, 0)) for group in ("seen", "unseen"))
        for group, rule, top1 in descriptors_scored(seen, unseen):
            found[f"{group}/{count} of 4 hallucinated/{rule}"] = top1
        if count == 0:
            for condition, share in SHUFFLED.items():
                changed = [with_some_shuffled(one, share, number) for number, one in enumerate((seen, unseen))]
                for group, rule, top1 in orders_scored(*changed):
                    found[f"{group}/{condition}/{rule}"] = top1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found))
    print(file, flush=True)


def report(folder: Path) -> None:
    """Prints the accuracies without a rule, and the gain of every rule over them."""
    files = sorted((folder / "reliability").glob("draw*.json"))
    draws = {int(file.stem.removeprefix("draw")): json.loads(file.read_text()) for file in files}
    keys = list(dict.fromkeys(key for found in draws.values() for key in found))

    def of(group: str, condition: str, rule: str) -> dict[int, float]:
        key = f"{group}/{condition}/{rule}"
        return {draw: found[key] for draw, found in draws.items() if key in found}

    for first, conditions in (
        ("equal weights", ["0 of 4 hallucinated", "1 of 4 hallucinated"]),
        ("no evidence", list(SHUFFLED)),
    ):
        columns = [(group, condition) for group in ("seen", "unseen") for condition in conditions]
        rules = list(dict.fromkeys(key.split("/")[2] for key in keys if key.split("/")[1] == conditions[0]))
        rows = []
        for rule in [first, *(rule for rule in rules if rule != first)]:
            cells = []
            for group, condition in columns:
                own, plain = of(group, condition, rule), of(group, condition, first)
                cells.append("" if not own else cell(own) if rule == first else difference(own, plain))
            if any(cells):
                rows.append([rule, *cells])
        table(["", *(f"{group}, {condition}" for group, condition in columns)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["score", "report"])
    parser.add_argument("--draw", type=int, nargs="+", default=list(DRAWS), help="draws of classes to score")
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    if options.what == "report":
        report(options.folder)
        return
    for draw in options.draw:
        score(draw, options.folder)


if __name__ == "__main__":
    main()
