"""`ost demo`: the whole way from video files to a zero-shot score, on the rendered world, in minutes on a CPU."""

from collections.abc import Sequence
from pathlib import Path


def demo(
    output: Path = Path("runs/demo"), draws: Sequence[int] = (0,), seeds: Sequence[int] = (0,), epochs: int = 6
) -> None:  # read only
    """Fine-tunes the tiny CLIP on rendered videos of seen classes and recognizes unseen ones.

    Three matchers, each before tuning, after it, and with weight-space ensembling.

    Everything measured here is about a rendered world and a CLIP of a million parameters that was made for it.

    Args:
        output: Folder for results.json, results.md, matching_flow.png and the runs.
        draws: Draws of classes (0 to 4); several give a spread.
        seeds: Training seeds; several give a spread.
        epochs: Number of passes over the training videos.
    """
    from ost_lightning.tools.demonstration import run_demo

    run_demo(output, draws, seeds, epochs)
