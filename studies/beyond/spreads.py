"""Accuracies of a study by draw, and their paired differences, as cells of Markdown tables."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path


class Scores:
    """Accuracies by weights, group, condition, variant and draw."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._values: dict[tuple[str, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.runs: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for file in files:
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
