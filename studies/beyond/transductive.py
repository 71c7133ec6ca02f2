"""Measures the test-time cache: its gain, its controls, and how much it depends on the order of the videos.

`python studies/beyond/transductive.py` scores seen, unseen and order-pair classes of all draws and prints a table.
Settings were chosen on seen classes.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from hallucination import draft, hallucinated
from torch import Tensor
from train import weights_of
from world import Encoded, Encoder

from ost_lightning.evaluation import TransductiveCache
from ost_lightning.matching import OptimalDescriptorSolver, TermWeights
from ost_lightning.toyworld.grammar import Group

MATCHERS = {
    "Eq. 13": OptimalDescriptorSolver(),
    "transported only": OptimalDescriptorSolver(terms=TermWeights(spatio_pooled=0, temporal_pooled=0)),
}


def adapted(probabilities: Tensor, frames: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yields the scores without and with every form of the cache, by name."""
    ids = [str(video) for video in range(len(frames))]
    yield "inductive", probabilities
    yield "cache of all videos", TransductiveCache().adapt(probabilities, frames, ids)
    for seed in range(3):
        cache = TransductiveCache(online=True, seed=seed)
        yield "online, videos shuffled", cache.adapt(probabilities, frames, ids)
    yield "online, videos by class", TransductiveCache(online=True, seed=None).adapt(probabilities, frames, ids)
    mean = frames.mean(1, keepdim=True).expand_as(frames)
    yield "cache of all videos, mean frames", TransductiveCache().adapt(probabilities, mean, ids)
    for seed in range(3):
        others = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))
        yield "wrong cache (embeddings of other videos)", TransductiveCache().adapt(probabilities, frames[others], ids)


def conditions(encoder: Encoder, group: Group) -> Iterator[tuple[str, Encoded]]:
    """Yields the data with correct and with hallucinated descriptors."""
    yield group, encoder.encode(group)
    if group != "order":
        for number in range(3):
            labels = hallucinated(draft(encoder.draw, group, number), 1, str(number))
            yield f"{group}, 1 of 4 hallucinated", encoder.encode(group, labels)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", choices=["pretrained", "paper"], default="pretrained")
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    groups: tuple[Group, ...] = ("seen", "unseen", "order")
    found: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for draw in range(5):
        trained = options.weights != "pretrained"
        encoder = Encoder(weights_of("paper", draw, 0, options.folder) if trained else "tiny", draw)
        for group in groups:
            for condition, encoded in conditions(encoder, group):
                for terms, matcher in MATCHERS.items():
                    similarities = matcher(encoded.frames, *(encoded.texts[kind] for kind in matcher.kinds))
                    probabilities = encoder.clip.class_probabilities(similarities)
                    for name, scores in adapted(probabilities, encoded.frames):
                        right = (scores.argmax(1) == encoded.labels).double().mean()
                        found[terms, condition, name][draw].append(100 * float(right))
    print_table(found)


def print_table(found: dict[tuple[str, str, str], dict[int, list[float]]]) -> None:
    """Prints inductive accuracies, and the paired gains of every form of the cache."""
    columns = list(dict.fromkeys(key[1] for key in found))
    print(f"| terms | scores | {' | '.join(columns)} |\n| --- | --- |{' --- |' * len(columns)}")
    for terms, name in dict.fromkeys((key[0], key[2]) for key in found):
        cells = []
        for condition in columns:
            own, base = (
                [statistics.mean(values) for values in found[terms, condition, which].values()]
                for which in (name, "inductive")
            )
            gains = [a - b for a, b in zip(own, base, strict=True)]
            better = f" ({sum(gain > 0 for gain in gains)}/5)"
            values, sign = (own, "") if name == "inductive" else (gains, "+")
            cells.append(
                f"{statistics.mean(values):{sign}.1f} ± {statistics.stdev(values):.1f}{better * (sign == '+')}"
            )
        print(f"| {terms} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
