"""Figures over several sets of one run: mean and spread over splits, harmonic mean of base and novel."""

from collections.abc import Mapping
from statistics import harmonic_mean, mean, stdev

from ost_lightning.analysis.run_results import Score, SetResult, Summary


def summarize(sets: Mapping[str, SetResult]) -> list[Summary]:
    """Returns means over the splits of a data set, and over its base and novel classes.

    Sets of one data set whose part is named `split ...` are averaged, with the sample standard deviation (divisor
    n - 1). A base and a novel set of one data set give their harmonic mean.

    Args:
        sets: Results by name of the set.
    """
    grouped: dict[tuple[str, str], dict[str, Score]] = {}
    for result in sets.values():
        if result.card.benchmark and result.card.part:
            for weights, score in result.scores.items():
                grouped.setdefault((result.card.benchmark, weights), {})[result.card.part] = score
    summaries = []
    for (benchmark, weights), parts in grouped.items():
        splits = [score for part, score in parts.items() if part.startswith("split ")]
        if len(splits) > 1:
            summaries.append(_over_splits(benchmark, weights, splits))
        if "base" in parts and "novel" in parts:
            summaries.append(_harmonic(benchmark, weights, parts["base"], parts["novel"]))
    return summaries


def _over_splits(benchmark: str, weights: str, splits: list[Score]) -> Summary:
    first, fifth = [score.top1 for score in splits], [score.top5 for score in splits]
    what = f"{benchmark}, mean of {len(splits)} splits"
    return Summary(what, benchmark, weights, mean(first), mean(fifth), stdev(first), stdev(fifth))


def _harmonic(benchmark: str, weights: str, base: Score, novel: Score) -> Summary:
    what = f"{benchmark}, harmonic mean of base and novel"
    return Summary(
        what, benchmark, weights, harmonic_mean([base.top1, novel.top1]), harmonic_mean([base.top5, novel.top5])
    )
