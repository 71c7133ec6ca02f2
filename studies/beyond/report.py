"""Tables of the study, from what score.py wrote: Markdown on standard output.

Within a draw, repetitions of a control and training seeds are averaged first; then mean and standard deviation over the
draws that were scored, of the accuracies and of their paired differences, with the number of draws on which the
difference is positive.
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MECHANISMS = ("paper", "order", "relaxed", "transported", "learned_epsilon")


class Scores:
    """Accuracies by weights, group, condition, variant and draw."""

    def __init__(self, folder: Path) -> None:
        self._values: dict[tuple[str, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.runs: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for file in sorted((folder / "scores").glob("*.json")):
            for row in json.loads(file.read_text()):
                self.runs[row["weights"]].add((row["draw"], row["seed"]))
                for measure in ("top1", "pair"):
                    if measure in row:
                        key = (row["weights"], row["group"], row["condition"], row["variant"], measure)
                        self._values[key][row["draw"]].append(row[measure])

    def by_draw(
        self, weights: str, group: str, condition: str, variant: str, measure: str = "top1"
    ) -> dict[int, float]:
        values = self._values[weights, group, condition, variant, measure]
        return {draw: statistics.mean(rows) for draw, rows in sorted(values.items())}


def cell(values: Mapping[int, float]) -> str:
    return spread(list(values.values()), ".1f")


def difference(values: Mapping[int, float], base: Mapping[int, float]) -> str:
    paired = [values[draw] - base[draw] for draw in values if draw in base]
    return f"{spread(paired, '+.1f')} ({sum(delta > 0 for delta in paired)}/{len(paired)})"


def spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def pretrained(scores: Scores, **unused: Any) -> None:
    def top1(variant: str, condition: str = "clean", group: str = "unseen") -> dict[int, float]:
        return scores.by_draw("pretrained", group, condition, variant)

    print("### Mechanisms, clean data, pre-trained weights: seen, unseen, order (top-1), pairs\n")
    names = [
        "name",
        "name and pooled",
        "pooled",
        "spatio",
        "temporal",
        "s-pooled",
        "t-pooled",
        "s-ot",
        "t-ot",
        "eq13",
        "ot",
    ]
    names += ["max, frames choose", "max, descriptors choose", "softmax, frames choose", "softmax, descriptors choose"]
    for terms in ("t-ot", "ot", "eq13"):
        names += [f"{terms} {option}" for option in ("+order", "+relaxed", "+partial", "+order +relaxed")]
    rows = []
    for name in names:
        base = name.split(" +")[0] if " +" in name else "eq13"
        cells = [cell(top1(name, group=group)) for group in ("seen", "unseen", "order")]
        pair = cell(scores.by_draw("pretrained", "order", "clean", name, "pair"))
        rows.append([name, *cells, pair, f"{difference(top1(name), top1(base))} v {base}"])
    table(["matcher", "seen", "unseen", "order, 20-way", "order, pair", "unseen, paired"], rows)

    print("### Controls, unseen\n")
    rows = []
    for terms in ("t-ot", "ot", "eq13"):
        for condition in ("clean", "steps shuffled", "frames shuffled", "1 hallucinated", "2 hallucinated"):
            plain = top1(terms, condition)
            row = [terms, condition, cell(plain)]
            for option in ("+order", "+relaxed", "+partial", "+order +relaxed"):
                row.append(difference(top1(f"{terms} {option}", condition), plain))
            rows.append(row)
    table(["terms", "condition", "plain", "+order", "+relaxed", "+partial", "+order +relaxed"], rows)

    print("### Baselines under hallucination\n")
    for condition in ("clean", "1 hallucinated", "2 hallucinated"):
        print(
            condition,
            {
                n: cell(top1(n, condition))
                for n in ("name and pooled", "pooled", "eq13", "ot", "softmax, frames choose")
            },
        )
    print()


def sweeps(scores: Scores, seen: list[dict[str, Any]]) -> None:
    """Every setting on seen (that is where they were chosen) and unseen classes."""

    def chosen_from(variant: str, condition: str) -> dict[int, float]:
        values: dict[int, list[float]] = defaultdict(list)
        for row in seen:
            if (row["variant"], row["condition"]) == (variant, condition):
                values[row["draw"]].append(row["top1"])
        return {draw: statistics.mean(rows) for draw, rows in values.items()}

    variants = sorted({row["variant"] for row in seen})
    for letter in ("sigma", "rho", "mass", "epsilon"):
        print(f"### Sweep of {letter}, pre-trained weights\n")
        rows = []
        for terms in ("t-ot", "ot", "eq13"):
            values = [v for v in variants if v.startswith(f"{terms} {letter} ")]
            for name in [terms, *sorted(values, key=lambda v: float(v.split()[-1]))]:
                row = [name]
                for condition in ("clean", "1 hallucinated"):
                    values = chosen_from(name, condition)
                    row += [cell(values), difference(values, chosen_from(terms, condition))]
                row.append(cell(scores.by_draw("pretrained", "unseen", "clean", name)))
                for condition in ("clean", "steps shuffled", "frames shuffled"):
                    base = scores.by_draw("pretrained", "unseen", condition, terms)
                    row.append(difference(scores.by_draw("pretrained", "unseen", condition, name), base))
                row.append(cell(scores.by_draw("pretrained", "order", "clean", name, "pair")))
                rows.append(row)
        header = ["setting", "seen", "paired", "seen, 1 hallucinated", "paired", "unseen", "paired"]
        table([*header, "steps shuffled", "frames shuffled", "pair"], rows)


def trained(scores: Scores) -> None:
    print("### Trained and tested with each\n")
    names = [name for name in ("pretrained", *MECHANISMS) if scores.runs[name]]
    for variant in ("eq13", "eq13 +order", "eq13 +relaxed", "ot", "ot +order", "ot +relaxed", "t-ot", "t-ot +order"):
        rows = []
        for name in names:
            row = [name, str(len(scores.runs[name]))]
            for group, condition in (
                ("seen", "clean"),
                ("unseen", "clean"),
                ("unseen", "1 hallucinated"),
                ("order", "clean"),
            ):
                values = scores.by_draw(name, group, condition, variant)
                base = scores.by_draw("paper", group, condition, variant)
                row.append(f"{cell(values)} [{difference(values, base)}]")
            row.append(cell(scores.by_draw(name, "order", "clean", variant, "pair")))
            rows.append(row)
        print(f"tested with {variant}; in brackets against the weights trained as in the paper\n")
        table(
            ["trained with", "runs", "seen", "unseen", "unseen, 1 hallucinated", "order, 20-way", "order, pair"], rows
        )
    if scores.runs["learned_epsilon"]:
        for variant in ("eq13, learned epsilon", "ot, learned epsilon"):
            values = scores.by_draw("learned_epsilon", "unseen", "clean", variant)
            print(
                variant,
                cell(values),
                difference(values, scores.by_draw("paper", "unseen", "clean", variant.split(",")[0])),
            )
    print("\n### Gain of each option on weights that were trained with it, over the paper's own way, unseen\n")
    rows = []
    for terms in ("eq13", "ot", "t-ot"):
        for option in ("order", "relaxed"):
            if not scores.runs[option]:
                continue
            for condition in ("clean", "1 hallucinated", "2 hallucinated", "steps shuffled", "frames shuffled"):
                base = scores.by_draw("paper", "unseen", condition, terms)
                own = scores.by_draw(option, "unseen", condition, f"{terms} +{option}")
                only = scores.by_draw("paper", "unseen", condition, f"{terms} +{option}")
                rows.append([terms, option, condition, cell(base), difference(only, base), difference(own, base)])
    table(["terms", "option", "condition", "paper", "tested with it", "trained and tested with it"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    scores = Scores(options.folder)
    print(
        f"choice: {(options.folder / 'choice.json').read_text()}; "
        f"runs: {', '.join(f'{name} {len(runs)}' for name, runs in scores.runs.items())}\n"
    )
    pretrained(scores)
    sweeps(scores, json.loads((options.folder / "seen.json").read_text()))
    trained(scores)


if __name__ == "__main__":
    main()
