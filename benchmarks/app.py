"""The app: time until an edited sentence has moved the probabilities, and until the page can be seen.

An edit is what the app does between a changed sentence and the new ranking: the table is read, one sentence is encoded,
and the video, which is embedded already, is compared with all classes again. The classes are those of Kinetics-400 with
four descriptors of each kind, many of them the same, so that the benchmark begins soon; that changes nothing about an
edit. The CLIP has the size of ViT-B/16, with random weights, and the video has 8 frames.

Edits are computed in one thread. On an idle machine they take as long as their CPU time, which other programs don't
lengthen.

First paint is measured in Chromium with the tiny CLIP: from opening the page to the button that recognizes. Imports,
weights and examples come before.

On a CPU: app.py
Without a browser: app.py --skip_paint
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from random_clip import save_random_clip

from ost_lightning.app import AppSettings
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.session import Session
from ost_lightning.pages.printing import find_browser
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes


def summary(seconds: Sequence[float]) -> str:
    """Returns the median with least and most, in milliseconds."""
    least, median, most = (1000 * pick(seconds) for pick in (min, statistics.median, max))
    return f"{median:.0f} ms ({least:.0f} to {most:.0f})"


def edits(weights: str, video: Path, repeats: int) -> str:
    """Returns the time from a changed sentence to the new ranking, and how much of it was computing."""
    session = Session(Models.load([weights], "cpu"), 10**9)
    names = LabelSpace.load("kinetics400").names
    same = Descriptors(("something", "anything", "nothing", "everything"), ("this happens",) * 4)
    labels = LabelSpace(names, dict.fromkeys(names, same))
    session.choose(labels)
    session.open(video)
    session.recognize(weights)
    taken, computing = [], []
    for k in range(repeats + 1):
        name = labels.names[7 * k]
        rows = session.rows(name, weights)
        rows[k % len(rows)][1] = f"a sentence that nobody has written before, number {k}"
        began, computed = time.perf_counter(), time.process_time()
        session.edit(name, rows, weights)
        session.recognize(weights)
        taken.append(time.perf_counter() - began)
        computing.append(time.process_time() - computed)
    # the first one warms up
    return f"{summary(taken[1:])}, CPU time {summary(computing[1:])}"


def paints(repeats: int) -> list[float]:
    """Returns the seconds until a new visitor sees the page."""
    from playwright.sync_api import sync_playwright

    from ost_lightning.app.server import serving

    taken = []
    with serving(AppSettings(weights=("tiny",), examples=True, device="cpu")) as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(repeats):
            context = chromium.new_context()
            page = context.new_page()
            began = time.perf_counter()
            page.goto(url)
            page.get_by_role("button", name="Recognize", exact=True).wait_for()
            taken.append(time.perf_counter() - began)
            context.close()
        chromium.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--skip_paint", action="store_true", help="measure edits alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        write_mp4(video, render_clip(draw_classes(0)["unseen"][0], "benchmark"))
        weights = str(save_random_clip(16, Path(folder) / "weights"))
        print(f"edited sentence, 400 classes, ViT-B/16: {edits(weights, video, options.repeats)}", flush=True)
        print(f"edited sentence, 400 classes, tiny:     {edits('tiny', video, options.repeats)}", flush=True)
    if not options.skip_paint:
        print(f"first paint:                            {summary(paints(options.repeats // 4 or 1))}")


if __name__ == "__main__":
    main()
