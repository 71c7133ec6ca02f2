"""`ost demo`: from video files to a zero-shot score, on the rendered world, in minutes on a CPU."""

from collections.abc import Sequence
from pathlib import Path


def demo(
    output: Path = Path("runs/demo"), draws: Sequence[int] = (0,), seeds: Sequence[int] = (0,), epochs: int = 6
) -> None:  # read only
    """Fine-tunes the tiny CLIP on rendered videos of seen classes, and tests it on unseen classes.

    Three matchers are tested with pre-trained weights, with fine-tuned weights, and with weight-space ensembling. Last,
    a page shows what happens when in a long video of unseen classes. All figures are about a rendered world and a CLIP
    of a million parameters that was trained for it.

    Args:
        output: Folder for results.json, results.md, matching_flow.png, timeline.html with its video, and the runs.
        draws: Draws of classes, 0 to 4 each; with several, the table shows a standard deviation.
        seeds: Training seeds; with several, the table shows a standard deviation.
        epochs: Number of passes over the training videos.
    """
    from ost_lightning.tools.demo.demonstration import run_demo

    run_demo(output, draws, seeds, epochs)
