"""Draws what happens in one long video, and what two decoders find: docs/figures/timeline_decoders.png.

python studies/timeline/picture.py docs/figures/timeline_decoders.png
"""

import argparse
from pathlib import Path

import matplotlib
from comparison import BASELINE, DEFAULT
from footage import Footage
from matplotlib.patches import Patch

from ost_lightning.analysis.pictures import WIDTH, picture
from ost_lightning.recognition.timelines import Segment, StretchDecoder, ThresholdDecoder


def draw(rows: dict[str, list[Segment]], duration: float, file: Path) -> None:
    """Draws segments as colored bars, one row per list."""
    labels = sorted({segment.label for segments in rows.values() for segment in segments})
    colors = {label: matplotlib.colormaps["tab20"](k % 20) for k, label in enumerate(labels)}
    with picture(file, WIDTH, 0.45 * len(rows) + 1.6) as figure:
        axes = figure.subplots()
        for height, segments in enumerate(reversed(rows.values())):
            for s in segments:
                axes.barh(height, s.seconds, left=s.start, height=0.7, color=colors[s.label], edgecolor="white")
        axes.set_yticks(range(len(rows)), list(rows)[::-1])
        axes.set_xlim(0, duration)
        axes.set_xlabel("seconds")
        handles = [Patch(color=colors[label]) for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("runs/timeline"))
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--video", type=int, default=6)
    parser.add_argument("--weights", choices=["tuned", "pretrained"], default="tuned")
    parser.add_argument("--levels", type=float, nargs=2, default=(0.18, 0.18), help="levels of threshold and stretches")
    parser.add_argument("--actions", type=int, nargs="+", default=[], help="actions per video, for a small run")
    options = parser.parse_args()
    footage = Footage(options.folder, options.draw, "unseen", options.weights, tuple(options.actions))
    decoders = {BASELINE: ThresholdDecoder(level=options.levels[0]), DEFAULT: StretchDecoder(level=options.levels[1])}
    found = [
        list(decoder.decode(variant.scores(footage, shuffled=False)[options.video]).segments)
        for variant, decoder in decoders.items()
    ]
    shown = footage.actions_shown()[options.video]
    names = ("what happens", "threshold and merge", "stretches (default)")
    draw(dict(zip(names, (shown, *found), strict=True)), footage.embedded()[options.video].duration, options.output)


if __name__ == "__main__":
    main()
