"""Prints the tables of docs/beyond.md as Markdown, in their order, from the output of score.py.

Repetitions of a control and training seeds are averaged within a draw. Then come mean and standard deviation over the
scored draws, for accuracies and for their paired differences. Differences also show on how many draws they are
positive.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from spreads import Scores, cell, difference, table
from variants import EPSILONS, MASSES, RHOS, SIGMAS

MECHANISMS = ("paper", "order", "relaxed", "transported", "learned_epsilon")
TERMS = {"eq13": "Eq. 13", "ot": "transported only", "t-ot": "temporal transported only"}
HALLUCINATED = {0: "clean", 1: "1 hallucinated", 2: "2 hallucinated"}
MATCHERS = {
    "name": "category name",
    "name and pooled": "name and descriptors pooled",
    "pooled": "pooled",
    "spatio": "Spatio only (Table 4b)",
    "temporal": "Temporal only (Table 4b)",
    "eq13": "Eq. 13",
    "ot": "transported only",
    "s-ot": "Spatio transported",
    "t-ot": "Temporal transported",
    "s-pooled": "Spatio pooled",
    "t-pooled": "Temporal pooled",
    "max, frames choose": "max, frames choose",
    "max, descriptors choose": "max, descriptors choose",
    "softmax, frames choose": "softmax, frames choose",
    "softmax, descriptors choose": "softmax, descriptors choose",
}
"""Variants in the first table, with their labels."""


def terms_and_matchers(scores: Scores) -> None:
    """Prints the contribution of the terms of Eq. 13, and simpler matchers."""
    base = scores.by_draw("pretrained", "unseen", "clean", "eq13")
    rows = []
    for variant, words in MATCHERS.items():
        seen, unseen, order = (
            scores.by_draw("pretrained", group, "clean", variant) for group in ("seen", "unseen", "order")
        )
        gain = "" if variant == "eq13" else difference(unseen, base)
        rows.append([words, cell(seen), cell(unseen), gain, cell(order)])
    table(["matcher", "seen", "unseen", "unseen, against Eq. 13", "order group, 20-way"], rows)


def order_prior(scores: Scores, seen: Scores) -> None:
    rows = []
    for terms, words in TERMS.items():
        for sigma in (None, *SIGMAS):
            variant = terms if sigma is None else f"{terms} sigma {sigma:g}"
            gains = [
                ""
                if sigma is None
                else difference(
                    scores.by_draw("pretrained", "unseen", condition, variant),
                    scores.by_draw("pretrained", "unseen", condition, terms),
                )
                for condition in ("clean", "steps shuffled", "frames shuffled")
            ]
            rows.append(
                [
                    words if sigma is None else "",
                    "-" if sigma is None else f"{sigma:g}",
                    cell(seen.by_draw("pretrained", "seen", "clean", variant)),
                    cell(scores.by_draw("pretrained", "unseen", "clean", variant)),
                    *gains,
                    cell(scores.by_draw("pretrained", "order", "clean", variant, "pair")),
                ]
            )
    header = ["terms", "sigma", "seen", "unseen", "unseen, gain", "steps shuffled, gain", "frames shuffled, gain"]
    table([*header, "order pairs"], rows)


def hallucination(scores: Scores, choice: Mapping[str, float]) -> None:
    options = {
        "+relaxed": f"rho {choice['descriptor_rho']:g}",
        "+partial": f"mass {choice['mass']:g}",
        "+order": f"sigma {choice['order_sigma']:g}",
        "+order +relaxed": f"sigma {choice['order_sigma']:g}, rho {choice['descriptor_rho']:g}",
    }
    rows = []
    for terms, words in TERMS.items():
        for count, condition in HALLUCINATED.items():
            plain = scores.by_draw("pretrained", "unseen", condition, terms)
            gains = [
                difference(scores.by_draw("pretrained", "unseen", condition, f"{terms} {option}"), plain)
                for option in options
            ]
            rows.append([words if count == 0 else "", str(count), cell(plain), *gains])
    table(["terms", "of 4 hallucinated", "plain", *options.values()], rows)
    rows = []
    for variant in ("name and pooled", "pooled", *(name for name in MATCHERS if "choose" in name)):
        values = [scores.by_draw("pretrained", "unseen", condition, variant) for condition in HALLUCINATED.values()]
        rows.append([MATCHERS[variant], *map(cell, values)])
    table(["without transport", *map(str, HALLUCINATED)], rows)


def settings(seen: Scores) -> None:
    """Prints every setting on seen classes, where it was chosen."""
    rows = []
    for letter, values in (("sigma", SIGMAS), ("rho", RHOS), ("mass", MASSES), ("epsilon", EPSILONS)):
        for value in values:
            gains = [
                difference(
                    seen.by_draw("pretrained", "seen", condition, f"{terms} {letter} {value:g}"),
                    seen.by_draw("pretrained", "seen", condition, terms),
                )
                for terms in ("eq13", "ot")
                for condition in ("clean", "1 hallucinated")
            ]
            rows.append([f"{letter} {value:g}", *gains])
    header = ["setting", "Eq. 13", "Eq. 13, 1 hallucinated", "transported only", "transported only, 1 hallucinated"]
    table(header, rows)


def trained(scores: Scores) -> None:
    """Prints the gain of an option at test time, and the additional gain of training with it."""
    rows = []
    for terms, words in TERMS.items():
        for option in ("order", "relaxed"):
            shuffled = ("steps shuffled", "frames shuffled") if option == "order" else ()  # only order uses it
            for condition in ("clean", "1 hallucinated", *shuffled):
                plain = scores.by_draw("paper", "unseen", condition, terms)
                tested = scores.by_draw("paper", "unseen", condition, f"{terms} +{option}")
                both = scores.by_draw(option, "unseen", condition, f"{terms} +{option}")
                gains = [difference(tested, plain), difference(both, plain), difference(both, tested)]
                rows.append([words, option, condition, cell(plain), *gains])
    header = ["terms", "option", "condition", "paper's matcher", "option in the test only"]
    table([*header, "option in training and test", "difference by training"], rows)
    rows = []
    suffixes = {"order": " +order", "relaxed": " +relaxed", "learned_epsilon": ", learned epsilon"}
    for name in ("pretrained", *MECHANISMS):
        for terms in ("eq13", "ot"):
            variant = terms + suffixes.get(name, "")
            groups = [
                scores.by_draw(name, group, condition, variant)
                for group, condition in (("seen", "clean"), ("unseen", "clean"), ("unseen", "1 hallucinated"))
            ]
            paper = scores.by_draw("paper", "unseen", "clean", terms)
            pair = scores.by_draw(name, "order", "clean", variant, "pair")
            row = [name if terms == "eq13" else "", str(len(scores.runs[name])), TERMS[terms]]
            rows.append([*row, *map(cell, groups), difference(groups[1], paper) if name != "paper" else "", cell(pair)])
    header = ["trained with", "runs", "terms at test time", "seen", "unseen", "unseen, 1 hallucinated"]
    table([*header, "unseen, against the paper's training", "order pairs"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    files = sorted((options.folder / "scores").glob("*.json"))
    scores, seen = Scores(files), Scores([options.folder / "seen.json"])
    choice = json.loads((options.folder / "choice.json").read_text())
    print(f"choice: {choice}; runs: {', '.join(f'{name} {len(runs)}' for name, runs in scores.runs.items())}\n")
    terms_and_matchers(scores)
    order_prior(scores, seen)
    hallucination(scores, choice)
    settings(seen)
    trained(scores)


if __name__ == "__main__":
    main()
