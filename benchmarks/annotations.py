"""Reading annotation files: a Kinetics-400 training list of 240,000 videos, in the publisher's CSV and as `path label`.

The lists are generated. Prints medians and spread of the CPU time of repeated runs, which other work on the machine
does not affect, and the peak memory, traced in a separate run. The baselines are csv.reader and str.split alone,
without any checks.
"""

import argparse
import csv
import random
import statistics
import string
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from ost_lightning.text import LabelSpace
from ost_lightning.video.annotations import ClassIndex, read_kinetics, read_records


def write_lists(folder: Path, videos: int, names: tuple[str, ...]) -> tuple[Path, Path]:
    draw = random.Random(0)
    alphabet = string.ascii_letters + string.digits + "-_"
    published, listed = folder / "train.csv", folder / "train.txt"
    with published.open("w", newline="") as csv_file, listed.open("w") as text_file:
        rows = csv.writer(csv_file)
        rows.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        for _ in range(videos):
            label, start = draw.randrange(len(names)), draw.randrange(600)
            youtube = "".join(draw.choices(alphabet, k=11))
            rows.writerow([names[label], youtube, start, start + 10, "train"])
            text_file.write(f"train/{youtube}_{start:06d}_{start + 10:06d}.mp4 {label}\n")
    return published, listed


def plain_csv(file: Path) -> object:
    with file.open(newline="") as handle:
        return list(csv.reader(handle))


def plain_lines(file: Path) -> object:
    return [line.split() for line in file.read_text().splitlines()]


def measure(name: str, read: Callable[[], object], repetitions: int) -> float:
    times = []
    for _ in range(repetitions):
        began = time.process_time()
        read()
        times.append(time.process_time() - began)
    tracemalloc.start()
    result = read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    median = statistics.median(times)
    print(f"{name:42s} median {median:.2f} s (min {min(times):.2f}, max {max(times):.2f}), peak {peak / 1e6:.0f} MB")
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=240_000)
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    labels = LabelSpace.load("kinetics400")
    classes = ClassIndex(labels.names, labels.published)
    with tempfile.TemporaryDirectory() as folder:
        published, listed = write_lists(Path(folder), options.videos, labels.names)
        print(f"{options.videos:,} videos")
        pairs = (
            (
                "csv.reader alone",
                lambda: plain_csv(published),
                "read_kinetics",
                lambda: read_kinetics(published, classes),
            ),
            ("str.split alone", lambda: plain_lines(listed), "read_records", lambda: read_records(listed, classes)),
        )
        for baseline_name, baseline, name, read in pairs:
            base = measure(baseline_name, baseline, options.repetitions)
            print(f"{'':42s} {measure(name, read, options.repetitions) / base:.2f} x the baseline's time")


if __name__ == "__main__":
    main()
