"""Time and size of a report on a synthetic test run: python benchmarks/report.py

The run has as many videos and classes as the validation part of Kinetics-400. One video in four is recognized wrongly.
All videos are links to one small file; a few are decoded for their pictures.
"""

import argparse
import random
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ost_lightning.analysis.report.report import write_report
from ost_lightning.analysis.report.reported_run import ReportedRun
from ost_lightning.analysis.results.run_results import DataCard, RunResults, Score, SetResult
from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import Prediction, prediction_columns, prediction_row
from ost_lightning.files import open_csv
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes

MODEL = {"task": "ContrastiveRecognition", "backbone": "ViT-B/16", "matcher": {"class": "OptimalDescriptorSolver"}}


def predictions(videos: int, classes: int, folder: Path, seed: int) -> list[Prediction]:
    drawn = random.Random(seed)
    names = [f"class {k}" for k in range(classes)]
    found = []
    for k in range(videos):
        label = names[k % classes]
        others = drawn.sample(names, 5)
        guesses = [label, *others[:4]] if drawn.random() < 0.75 else others
        shares = sorted((drawn.random() / 5 for _ in guesses), reverse=True)
        of_label = shares[0] if guesses[0] == label else 0.001
        row = Prediction(f"{k:06d}.mp4", "val", None, None, label, tuple(guesses), tuple(shares))
        found.append(row._replace(label_probability=of_label, path=str(folder / row.id)))
    return found


def write_run(folder: Path, videos: int, classes: int, seed: int) -> Path:
    folder.mkdir()
    rows = predictions(videos, classes, folder.parent / "videos", seed)
    with open_csv(folder / "predictions.csv") as handle:
        writer = CsvWriter(handle)
        writer.writerow(prediction_columns())
        writer.writerows(map(prediction_row, rows))
    first = sum(row.classes[0] == row.label for row in rows) / videos
    card = DataCard("kinetics400", classes, "words", "same", None, None, None, videos, videos, 0, labels="same")
    scores = {"as trained": Score(round(first, 6), 0.95, videos, 0)}
    sets = {"val": SetResult(card, scores)}
    results = RunResults(folder.name, None, seed, "0", None, MODEL, {"frames": 8, "views": 1, "crops": 1}, None, sets)
    replace(results, run=f"synthetic/{folder.name}").save(folder / "results.json")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--runs", type=int, default=2)
    chosen = parser.parse_args()
    print("| runs | videos | classes | seconds | MB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "videos").mkdir()
        write_mp4(folder / "clip.mp4", render_clip(draw_classes(0)["unseen"][0], "report"))
        for k in range(chosen.videos):
            (folder / f"videos/{k:06d}.mp4").hardlink_to(folder / "clip.mp4")
        runs = [write_run(folder / f"version_{k}", chosen.videos, chosen.classes, k) for k in range(chosen.runs)]
        for count in range(1, chosen.runs + 1):
            started = time.perf_counter()
            write_report([ReportedRun.read(run) for run in runs[:count]], folder / "report.html")
            seconds = time.perf_counter() - started
            size = (folder / "report.html").stat().st_size / 1e6
            print(f"| {count} | {chosen.videos:,} | {chosen.classes} | {seconds:.1f} | {size:.1f} |")


if __name__ == "__main__":
    main()
