"""Division of videos into training, validation and test so that no recording is in two parts."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from ost_lightning.vocabulary import Part


def split_by_source(videos: Sequence[tuple[str, str]], shares: Mapping[Part, float], seed: int) -> tuple[Part, ...]:
    """Assigns each video to a part; all videos of a source go to the same one.

    In each class, a part gets its share of the videos as nearly as the sources allow, but at least one source. At least
    one source of each class remains for training, so that a class with one or two sources lacks the last parts.

    Args:
        videos: Class and source of each video. A source may have videos of several classes.
        shares: Share of the videos of each class, 0 to 1, by part, the most important part first; all others are for
            training.
        seed: Seed for the choice of sources.

    Returns:
        Part of each video, in the same order.
    """
    sizes: dict[str, Counter[str]] = {}
    for class_, source in videos:
        sizes.setdefault(source, Counter())[class_] += 1
    totals = Counter(class_ for class_, _ in videos)
    sources_of: dict[str, list[str]] = {class_: [] for class_ in totals}
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    for source in order:
        for class_ in sizes[source]:
            sources_of[class_].append(source)
    remaining = {class_: len(sources) for class_, sources in sources_of.items()}
    part_of: dict[str, Part] = {}
    for part, share in shares.items():
        taken: Counter[str] = Counter()
        for class_ in sorted(totals):
            target = max(1, round(share * totals[class_])) if share else 0
            candidates = [source for source in sources_of[class_] if source not in part_of]
            for source in sorted(candidates, key=lambda one: sizes[one][class_] > target):
                if taken[class_] >= target:
                    break
                fits = taken[class_] + sizes[source][class_] <= target or not taken[class_]
                needed = 1 if not taken[class_] else 2  # leaves a source for the next part if there is a choice
                spare = all(remaining[other] > (needed if other == class_ else 1) for other in sizes[source])
                if fits and spare:
                    part_of[source] = part
                    taken.update(sizes[source])
                    for other in sizes[source]:
                        remaining[other] -= 1
    return tuple(part_of.get(source, "train") for _, source in videos)
