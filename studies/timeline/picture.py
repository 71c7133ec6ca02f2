"""Draws what happens in one long video, and what two decoders find: docs/figures/timeline_decoders.png.

python studies/timeline/picture.py docs/figures/timeline_decoders.png
"""

import argparse
from pathlib import Path

from comparison import BASELINE, DEFAULT
from footage import Footage
from matplotlib.patches import Patch

from ost_lightning.analysis.pictures import WIDTH, picture
from ost_lightning.recognition.timelines import Segment, StretchDecoder, ThresholdDecoder

_SHOWN, _RIGHT, _WRONG = "#d9dce3", "#56b4e9", "#e69f00"


def draw(rows: dict[str, list[Segment]], duration: float, file: Path) -> None:
    """Draws segments as named bars, one row per list; the first one is what happens.

    Names are in the bars, because there are more classes than colors that everybody can tell apart.
    """
    truth, *_ = rows.values()
    title = f"What happens in a video of {duration:.0f} s ({len(truth)} actions), and what two decoders find"
    with picture(file, WIDTH, 0.85 * len(rows) + 0.9, title) as figure:
        axes = figure.subplots()
        for height, segments in enumerate(reversed(rows.values())):
            for s in segments:
                right = any(s.label == one.label and s.start < one.end and one.start < s.end for one in truth)
                color = _SHOWN if segments is truth else _RIGHT if right else _WRONG
                axes.barh(height, s.seconds, left=s.start, height=0.9, color=color, edgecolor="white")
                wide = s.seconds > duration / 32  # enough for two lines
                name = s.label.replace(" ", "\n", 1) if wide else s.label
                middle = (s.start + s.end) / 2
                axes.text(middle, height, name, rotation=90, ha="center", va="center", fontsize=6, linespacing=0.9)
        axes.set_yticks(range(len(rows)), list(rows)[::-1])
        axes.set_xlim(0, duration)
        axes.set_xlabel("seconds")
        meanings = {
            _SHOWN: "shown",
            _RIGHT: "found, overlaps with its class",
            _WRONG: "found where another class is shown, or none",
        }
        handles = [Patch(color=color) for color in meanings]
        figure.legend(handles, meanings.values(), loc="outside lower center", ncols=3, frameon=False)


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
