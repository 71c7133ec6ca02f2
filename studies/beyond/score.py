"""Scores every mechanism on the rendered world, from embeddings that are computed once per draw and set of weights.

`choose` evaluates the pre-trained weights on seen classes only, and writes the best settings. `score` uses these
settings on unseen classes, order pairs and the controls, with the pre-trained weights and those that train.py wrote.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import variants
from train import RECORD, trained_clip, weights_of
from world import Encoded, Encoder, with_frames_shuffled, with_steps_shuffled

from ost_lightning.matching import Matcher, TransportWarning

DRAWS = range(5)
REPEATS = range(3)
Row = dict[str, Any]


@torch.no_grad()
def accuracies(matcher: Matcher, encoded: Encoded, pairs: bool) -> Row:
    """Returns Top-1 over all classes, in percent; for order pairs also between a class and its mirror image."""
    scores = matcher(encoded.frames, *(encoded.texts[kind] for kind in matcher.kinds))
    row = {"top1": 100 * float((scores.argmax(1) == encoded.labels).double().mean())}
    if pairs:
        correct = scores.gather(1, encoded.labels[:, None])
        mirrored = scores.gather(1, (encoded.labels ^ 1)[:, None])
        # a tie counts half
        row["pair"] = 100 * float(((correct > mirrored).double() + 0.5 * (correct == mirrored).double()).mean())
    return row


def conditions(encoder: Encoder, group: str, repeats: range) -> Iterator[tuple[str, int, Encoded]]:
    """Yields the unchanged data and every control: name, repetition, embeddings."""
    clean = encoder.encode(group)
    yield "clean", 0, clean
    if group == "order":
        return
    for repeat in repeats:
        for count in (1, 2):
            yield f"{count} hallucinated", repeat, encoder.encode(group, encoder.hallucinated(group, count, repeat))
        if group == "unseen":
            yield "steps shuffled", repeat, with_steps_shuffled(clean, repeat)
            yield "frames shuffled", repeat, with_frames_shuffled(clean, repeat)


def rows(
    encoder: Encoder,
    group: str,
    matchers: dict[str, Matcher],
    repeats: range,
    swept: dict[str, Matcher],
    **labels: Any,
) -> list[Row]:
    """Returns one row per matcher and condition; swept matchers are scored once per condition."""
    found = []
    for condition, repeat, encoded in conditions(encoder, group, repeats):
        variants.RememberingSolver.solved.clear()  # its keys are tensors of another condition
        for name, matcher in (matchers | swept if repeat == 0 else matchers).items():
            result = accuracies(matcher, encoded, group == "order")
            found.append(
                {**labels, "draw": encoder.draw, "group": group, "condition": condition, "repeat": repeat}
                | {"variant": name, **result}
            )
    return found


def choose(folder: Path) -> None:
    """Writes the settings with the best mean over draws on seen classes, by the score of Eq. 13."""
    found = []
    for draw in DRAWS:
        found += rows(Encoder("tiny", draw), "seen", variants.grid(), range(3), {}, weights="pretrained", seed=0)
    (folder / "seen.json").write_text(json.dumps(found))

    def mean(variant: str, condition: str) -> float:
        return statistics.mean(r["top1"] for r in found if r["variant"] == variant and r["condition"] == condition)

    choice = {}
    for key, letter, values, condition in (
        ("order_sigma", "sigma", variants.SIGMAS, "clean"),
        ("descriptor_rho", "rho", variants.RHOS, "1 hallucinated"),
        ("mass", "mass", variants.MASSES, "1 hallucinated"),
    ):
        choice[key] = max(values, key=lambda value: mean(f"eq13 {letter} {value:g}", condition))
        for terms in variants.TERMS:
            for condition_ in ("clean", "1 hallucinated"):
                listed = ", ".join(f"{v:g}: {mean(f'{terms} {letter} {v:g}', condition_):.1f}" for v in values)
                print(f"{terms:5s} {condition_:15s} plain {mean(terms, condition_):.1f}  {letter} {listed}")
    (folder / "choice.json").write_text(json.dumps(choice))
    print(choice)


def score(folder: Path, name: str, draw: int, seed: int) -> None:
    """Writes all scores of one set of weights, unless they exist or the weights have not been trained."""
    output = folder / "scores" / f"{name}-draw{draw}-seed{seed}.json"
    weights = None if name == "pretrained" else weights_of(name, draw, seed, folder)
    if output.is_file() or not (weights is None or weights.is_dir()):
        return
    choice = json.loads((folder / "choice.json").read_text())
    settings = choice["order_sigma"], choice["descriptor_rho"], choice["mass"]
    encoder = Encoder("tiny" if weights is None else trained_clip(weights), draw)
    matchers, swept = variants.chosen(*settings), {}
    if weights is None:
        matchers, swept = matchers | variants.baselines(), variants.grid()
    else:
        matchers = {key: matcher for key, matcher in matchers.items() if "partial" not in key}
    if weights is not None and name == "learned_epsilon":
        epsilon = json.loads((weights / RECORD).read_text())["epsilon"]
        learned = variants.chosen(*settings, epsilon=epsilon)
        matchers |= {f"{terms}, learned epsilon": learned[terms] for terms in variants.TERMS}
    found = []
    for group in ("seen", "unseen", "order"):
        few = group == "seen"  # settings were already swept on seen classes
        found += rows(
            encoder, group, matchers, range(0) if few else REPEATS, {} if few else swept, weights=name, seed=seed
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found))
    print(f"{output.name}: {len(found)} rows", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "score"])
    parser.add_argument(
        "--mechanism", nargs="+", default=["paper", "order", "relaxed", "transported", "learned_epsilon"]
    )
    parser.add_argument("--draw", type=int, nargs="+", default=list(DRAWS), help="draws of classes to score")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    # narrow priors and nearly complete partial plans converge slowly; 200 iterations are enough for scores
    warnings.simplefilter("ignore", TransportWarning)
    if options.what == "choose":
        choose(options.folder)
    else:
        for draw in options.draw:
            score(options.folder, "pretrained", draw, 0)
            for name in options.mechanism:
                for seed in options.seed:
                    score(options.folder, name, draw, seed)


if __name__ == "__main__":
    main()
