"""Prints the tables of docs/timeline.md and docs/unknown.md as Markdown.

Videos, embeddings and scores are kept in the folder. The tuned weights come from studies/beyond/train.py.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import comparison
import levels
import unknown
from comparison import BASELINE, DEFAULT, NO_CONTRAST, RELATIVE, VARIANTS, Result, Row, Variant
from footage import Footage, Group

from ost_lightning.recognition.timelines import TimelineDecoder

MEASURES = ("mAP@0.3", "mAP@0.5", "mAP@0.7", "timeline", "frames", "edit", "segments")
ORDERS = (BASELINE, *(v for v in VARIANTS if v.decoder is DEFAULT.decoder))
PRETRAINED = tuple(
    v for v in VARIANTS if (v.sigmas, v.lengths, v.rate) == (DEFAULT.sigmas, DEFAULT.lengths, DEFAULT.rate)
)
"""Variants for the pretrained weights: those that decode the same scores."""


def spread(values: Sequence[float], form: str = ".1f") -> str:
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"


def gain(values: Sequence[float], base: Sequence[float]) -> str:
    """Mean and least of paired differences, and on how many draws they are positive."""
    paired = [own - other for own, other in zip(values, base, strict=True)]
    return f"{spread(paired, '+.1f')} (least {min(paired):+.1f}, {sum(d > 0 for d in paired)}/{len(paired)})"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"{title}\n")
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def column(result: Result, measure: str) -> list[float]:
    return [row[measure] for row in result.rows]


def decoders(title: str, results: dict[Variant, Result]) -> None:
    base = results[BASELINE]
    rows = []
    for variant, result in results.items():
        gains = [
            "" if variant is BASELINE else gain(column(result, measure), column(base, measure))
            for measure in ("mAP@0.5", "edit")
        ]
        rows.append([variant.name, *(spread(column(result, measure)) for measure in MEASURES), *gains])
    table(title, ["decoder", *MEASURES, "mAP@0.5 gained", "edit gained"], rows)


def by_draw(title: str, first: str, found: Sequence[dict[str, Row]]) -> None:
    """Prints one row per key with the means over draws."""
    columns = list(found[0][next(iter(found[0]))])
    rows = [[name, *(spread([one[name][key] for one in found]) for key in columns)] for name in found[0]]
    table(title, [first, *columns], rows)


def none_of_these(
    footage: Callable[[int, Group], Footage],
    draws: Sequence[int],
    weights: str,
    chosen: dict[Variant, TimelineDecoder],
) -> None:
    """Prints false alarms of the decoder, short videos, AUROC by kind of background, and coverage of label sets."""
    level = chosen[DEFAULT]
    print(f"Level of the default: {level.level:.3f}\n")
    tested = [footage(draw, "unseen") for draw in draws]
    by_draw(f"False alarms, {weights} weights", "level", [levels.ways(one, level) for one in tested])
    by_draw(f"Short videos, {weights} weights", "evidence", [levels.short_videos(one, chosen) for one in tested])
    parts = [unknown.parts_of(footage(draw, "unseen")) for draw in draws]
    aurocs = [unknown.told_apart(one) for one in parts]
    kinds = list(aurocs[0]["margin"])
    cues = [[cue, *(spread([one[cue][kind] for one in aurocs]) for kind in kinds)] for cue in unknown.CUES]
    table(f"AUROC of none of these, {weights} weights", ["cue", *kinds], cues)
    top1 = [100 * float((p.transported.argmax(1) == p.labels)[p.labels >= 0].double().mean()) for p in parts]
    print(f"Top-1 of true segments: {spread(top1)}\n")
    rows = []
    for alpha in unknown.ALPHAS:
        for kind in ("similarity", "probability", "cumulative"):
            found = unknown.coverage(parts, kind, alpha)
            rows.append([f"{100 * (1 - alpha):g} %", kind, *(spread([r[key] for r in found]) for key in found[0])])
    table(f"Label sets, {weights} weights", ["promise", "nonconformity", *found[0]], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/timeline"))
    parser.add_argument("--draw", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--actions", type=int, nargs="+", default=[], help="actions per video, for a small run")
    parser.add_argument("--weights", nargs="+", choices=["tuned", "pretrained"], default=["tuned", "pretrained"])
    options = parser.parse_args()

    for weights in options.weights:

        @cache
        def footage(draw: int, group: Group, weights: str = weights) -> Footage:
            return Footage(options.folder, draw, group, weights, tuple(options.actions))

        variants = VARIANTS if weights == "tuned" else PRETRAINED
        results = {v: comparison.compare(footage, options.draw, v, shuffled=False) for v in variants}
        decoders(f"Decoders, {weights} weights", results)
        if weights == "tuned":
            shuffled = {v: comparison.compare(footage, options.draw, v, shuffled=True) for v in ORDERS}
            decoders("Steps in a wrong order", shuffled)
        chosen = {
            variant: results[variant].decoder for variant in (DEFAULT, NO_CONTRAST, RELATIVE) if variant in results
        }
        none_of_these(footage, options.draw, weights, chosen)


if __name__ == "__main__":
    main()
