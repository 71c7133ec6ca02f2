"""Compares ways to use the order of steps, by what they gain where steps have one and what they lose where not.

Also compares frame marginals by confidence and a term for the category name. `score` writes a file per draw, seed and
set of weights, pre-trained or by train.py. `report` prints the tables of docs/beyond.md, with settings that are chosen
on seen classes.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch
from score import DRAWS
from spreads import cell, difference, table
from torch import Tensor
from train import weights_of
from world import Encoded, Encoder, with_frames_shuffled, with_steps_shuffled

from ost_lightning.matching import BALANCED, CategoryName, SoftDTW, TransportProblem, solve_transport

SIGMAS = (0.1, 0.2, 0.3, 0.5)
WEIGHTS = (0.5, 1.0, 2.0, 4.0)
GAMMAS = (0.01, 0.03, 0.1, 0.3)
TEMPERATURES = (0.03, 0.1, 0.3)
NAMES = (0.25, 0.5, 1.0, 2.0)
CONDITIONS = ("clean", "steps shuffled", "frames shuffled", "1 hallucinated")
TERMS = ("Eq. 13", "transported only", "steps")
WEIGHTS_IN_WORDS = {"pretrained": "pre-trained", "paper": "fine-tuned"}
LARGEST_LOSS = 1.0
"""Points that an option may lose on seen classes with shuffled steps or frames, if it is chosen with bounded loss."""


def scores(encoded: Encoded) -> Iterator[tuple[str, Tensor]]:
    """Yields the similarities (B, K) of every option; each transport problem is solved once."""
    frames, texts = encoded.frames, encoded.texts
    cosines = {kind: torch.einsum("btd,knd->bktn", frames, texts[kind]) for kind in ("spatio", "temporal")}

    def transported(kind: str, problem: TransportProblem = BALANCED, backwards: bool = False) -> Tensor:
        each = cosines[kind].flip(-1) if backwards else cosines[kind]
        return (solve_transport(each, problem=problem, max_iterations=200).plan * each).sum((-1, -2))

    pooled = {kind: each.mean((-1, -2)) for kind, each in cosines.items()}
    spatio, steps, name = transported("spatio"), transported("temporal"), CategoryName()(frames, texts["name"])
    forward, backward = (
        {sigma: transported("temporal", TransportProblem(order_sigma=sigma), side) for sigma in SIGMAS}
        for side in (False, True)
    )
    confident = [
        [transported(kind, TransportProblem(frame_temperature=one)) for kind in cosines] for one in TEMPERATURES
    ]
    terms = {
        "Eq. 13": lambda spatio, steps: (pooled["spatio"] + pooled["temporal"] + spatio + steps) / 4,
        "transported only": lambda spatio, steps: (spatio + steps) / 2,
        "steps": lambda spatio, steps: steps,
    }
    for words, score in terms.items():
        yield f"{words}: plain", score(spatio, steps)
        for sigma in SIGMAS:
            yield f"{words}: prior, sigma {sigma:g}", score(spatio, forward[sigma])
            contrast = forward[sigma] - backward[sigma]
            for weight in WEIGHTS:
                option = f"sigma {sigma:g}, weight {weight:g}"
                yield f"{words}: contrast, {option}", score(spatio, steps + weight * contrast)
                yield f"{words}: evidence, {option}", score(spatio, steps + weight * contrast.relu())
        if words != "steps":
            count = 4 if words == "Eq. 13" else 2
            for temperature, both in zip(TEMPERATURES, confident, strict=True):
                yield f"{words}: frame temperature {temperature:g}", score(*both)
            for weight in NAMES:
                yield f"{words}: name {weight:g}", (count * score(spatio, steps) + weight * name) / (count + weight)
    for moves in ("dtw", "monotone"):
        for gamma in GAMMAS:
            yield f"steps: SoftDTW, {moves}, gamma {gamma:g}", SoftDTW(gamma, moves)(frames, texts["temporal"])


def conditions(encoder: Encoder, group: str, seed: int) -> Iterator[tuple[str, Encoded]]:
    """Yields the unchanged data and every control; each seed shuffles and hallucinates differently."""
    clean = encoder.encode(group)
    yield "clean", clean
    if group != "order":
        yield "steps shuffled", with_steps_shuffled(clean, seed)
        yield "frames shuffled", with_frames_shuffled(clean, seed)
        yield "1 hallucinated", encoder.encode(group, encoder.hallucinated(group, 1, seed))


def accuracy(similarities: Tensor, labels: Tensor, pairs: bool) -> float:
    """Returns Top-1 over all classes, or between a class and its mirror image, in percent; a tie of two counts half."""
    if not pairs:
        return 100 * float((similarities.argmax(1) == labels).double().mean())
    right, mirrored = (similarities.gather(1, each[:, None]) for each in (labels, labels ^ 1))
    return 100 * float(((right > mirrored).double() + 0.5 * (right == mirrored).double()).mean())


@torch.no_grad()
def score(weights: str, draw: int, seed: int, folder: Path) -> None:
    output = folder / "order_evidence" / f"{weights}-draw{draw}-seed{seed}.json"
    trained = "tiny" if weights == "pretrained" else weights_of(weights, draw, seed, folder)
    if output.is_file() or not (weights == "pretrained" or Path(trained).is_dir()):
        return
    encoder, found = Encoder(trained, draw), {}
    for group in ("seen", "unseen", "order"):
        for condition, encoded in conditions(encoder, group, seed):
            for name, similarities in scores(encoded):
                found[f"{group}/{condition}/{name}"] = accuracy(similarities, encoded.labels, group == "order")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found))
    print(output, flush=True)


class Accuracies:
    """Accuracies of all draws with one set of weights, means of the seeds."""

    def __init__(self, weights: str, folder: Path) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        for draw in DRAWS:
            files = sorted((folder / "order_evidence").glob(f"{weights}-draw{draw}-seed*.json"))
            seeds = [json.loads(file.read_text()) for file in files]
            if seeds:
                self.rows[draw] = {key: statistics.mean(rows[key] for rows in seeds) for key in seeds[0]}

    def of(self, group: str, condition: str, name: str) -> dict[int, float]:
        return {draw: rows[f"{group}/{condition}/{name}"] for draw, rows in self.rows.items()}

    def gain_on_seen(self, condition: str, name: str) -> float:
        ours, plain = (self.of("seen", condition, each) for each in (name, base_of(name)))
        return statistics.mean(ours[draw] - plain[draw] for draw in ours)


class Report:
    """Tables over all draws, with the settings that are best on seen classes with both sets of weights."""

    def __init__(self, folder: Path) -> None:
        self.weights = {words: Accuracies(name, folder) for name, words in WEIGHTS_IN_WORDS.items()}

    def best(self, family: str, bounded: bool) -> str:
        """Returns the setting of a family, such as `Eq. 13: prior`, with the largest gain."""
        prefix = "seen/clean/"
        rows = next(iter(self.weights["pre-trained"].rows.values()))
        members = [name.removeprefix(prefix) for name in rows if name.startswith(f"{prefix}{family}")]
        if bounded:
            shuffled = CONDITIONS[1:3]
            members = [name for name in members if min(self._gains(name, shuffled)) >= -LARGEST_LOSS]
        return max(members, key=lambda name: sum(self._gains(name, ("clean",))))

    def print(self, families: Sequence[tuple[str, bool]], conditions: Sequence[str] = CONDITIONS) -> None:
        rows = []
        for terms in dict.fromkeys(family.partition(":")[0] for family, _ in families):
            mine = [entry for entry in families if entry[0].startswith(f"{terms}:")]
            chosen = dict.fromkeys(self.best(*entry) for entry in mine)
            for words, accuracies in self.weights.items():
                for name in (f"{terms}: plain", *chosen):
                    values = []
                    for condition in conditions:
                        ours, plain = (accuracies.of("unseen", condition, one) for one in (name, base_of(name)))
                        values.append(cell(ours) if name.endswith("plain") else difference(ours, plain))
                    first = [terms, words] if name.endswith("plain") else ["", ""]
                    pairs = cell(accuracies.of("order", "clean", name))
                    rows.append([*first, name.removeprefix(f"{terms}: "), *values, pairs])
        table(["terms", "weights", "option", *conditions, "order pairs"], rows)

    def _gains(self, name: str, conditions: Sequence[str]) -> list[float]:
        return [each.gain_on_seen(condition, name) for each in self.weights.values() for condition in conditions]


def base_of(name: str) -> str:
    return f"{name.partition(':')[0]}: plain"


def report(folder: Path) -> None:
    found = Report(folder)
    order = [("prior", False), ("prior", True), ("contrast", True), ("evidence", True), ("evidence", False)]
    found.print([(f"{terms}: {family}", bounded) for terms in TERMS[:2] for family, bounded in order])
    found.print([(f"steps: {family}", False) for family in ("prior", "SoftDTW, dtw", "SoftDTW, monotone")])
    others = [(f"{terms}: {family}", False) for terms in TERMS[:2] for family in ("frame temperature", "name")]
    found.print(others, ("clean", "1 hallucinated"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["score", "report"])
    parser.add_argument("--draw", type=int, nargs="+", default=list(DRAWS), help="draws of classes to score")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "report":
        report(options.folder)
        return
    for seed, draw, weights in product(options.seed, options.draw, WEIGHTS_IN_WORDS):
        score(weights, draw, seed, options.folder)


if __name__ == "__main__":
    main()
