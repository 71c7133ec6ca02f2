"""A library of synthetic segments, and the time of questions to it; parts of `library.py`.

The embeddings are made in the shape of CLIP's. All frames share a component, so that any two have a cosine near 0.5.
Those of one of 2,000 clusters (an action) are closer, those of one segment closest, near 0.9. Cluster sizes fall as
1 / rank. Sentences have a cosine near 0.2 with all frames, and about 0.05 more with those of their cluster. `--uniform`
draws independent frames and sentences instead, the hardest case for a coarse stage.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from random_clip import save_random_clip
from torch import Tensor
from torch.nn import functional as F

from ost_lightning import Recognizer
from ost_lightning.library import Library, SegmentSettings, SegmentTable, TableSettings
from ost_lightning.library.asking import SearchSettings
from ost_lightning.library.asking.classification import Classification
from ost_lightning.library.asking.scoring import SegmentScorer, projected
from ost_lightning.library.asking.searcher import Searcher, _Question
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import DescriptorEmbeddings
from ost_lightning.recognition import TrainedModel, load_trained_model
from ost_lightning.text import LabelSpace, SentenceSet
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.vocabulary import DESCRIPTOR_KINDS

FRAMES, WIDTH, SENTENCES = 8, 512, 4
CLUSTERS = 2000
ROWS = 10_000
DECODED = 8
_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def unit(*shape: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


class World:
    """Where synthetic frames and sentences are from."""

    def __init__(self, uniform: bool) -> None:
        self.uniform = uniform
        self.generator = torch.Generator().manual_seed(0)
        self.common, self.words = unit(2, WIDTH, generator=self.generator)
        self.clusters = unit(CLUSTERS, WIDTH, generator=self.generator)
        self.sizes = 1 / torch.arange(1, CLUSTERS + 1)

    @cached_property
    def noise(self) -> Tensor:
        """What segments are drawn from, which is faster than drawing anew."""
        return unit(1 << 16, WIDTH, generator=self.generator)

    def random(self, *shape: int) -> Tensor:
        rows = torch.randint(len(self.noise), shape, generator=self.generator)
        shift = int(torch.randint(WIDTH, (1,), generator=self.generator))
        return self.noise[rows].roll(shift, -1)

    def segments(self, count: int) -> Tensor:
        """Frames, fp32 (count, T, d)."""
        own = self.random(count, FRAMES)
        if self.uniform:
            return F.normalize(own + 0.5 * self.random(count, FRAMES), dim=-1)
        cluster = self.clusters[torch.multinomial(self.sizes, count, replacement=True, generator=self.generator)]
        segment = 0.7 * self.common + 0.45 * cluster + 0.4 * self.random(count)
        return F.normalize(segment[:, None] + 0.3 * own, dim=-1)

    def texts(self, number: int) -> DescriptorEmbeddings:
        """Sentences of one class, kind -> (1, N, d)."""
        about = 0 if self.uniform else 0.3 * self.common + 0.6 * self.words + 0.15 * self.clusters[97 * number]
        return {
            kind: F.normalize(about + 0.7 * unit(1, SENTENCES, WIDTH, generator=self.generator), dim=-1)
            for kind in DESCRIPTOR_KINDS
        }


def create(folder: Path, world: World, trained: TrainedModel, count: int) -> SegmentTable:
    """Writes a table of synthetic segments, without the checks of `append`."""
    settings = TableSettings.of(trained.video_clip, trained.clips, FRAMES, SegmentSettings())
    table = Library.open(folder, create=True).create_table(settings)
    schema = table.dataset.schema

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, count, ROWS):
            frames = world.segments(min(ROWS, count - first)).half()
            names = [f"/videos/{first + k:07}.mp4" for k in range(len(frames))]
            numbers = np.zeros(len(frames))
            columns = {
                "key": [f"{first + k:016x}" for k in range(len(frames))],
                "video": names,
                "video_id": names,
                "video_digest": [""] * len(frames),
                "place": numbers.astype(np.int32),
                "start": numbers,
                "end": numbers + 4,
                "duration": numbers + 4,
                "label": pa.nulls(len(frames), pa.string()),
                "frame_times": lists(np.tile(np.arange(FRAMES, dtype=np.float32) / 2, len(frames)), FRAMES),
                "embeddings": lists(frames.flatten().numpy(), FRAMES * WIDTH),
                "mean": lists(frames.float().mean(1).flatten().numpy(), WIDTH),
                "damaged": numbers.astype(np.int32),
            }
            yield pa.RecordBatch.from_arrays(
                [pa.array(columns[field.name], field.type) for field in schema], schema=schema
            )

    table.dataset.insert(pa.RecordBatchReader.from_batches(schema, batches()), mode="append")
    table.refresh()
    return table


def lists(numbers: np.ndarray, length: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers), length)


def question(texts: DescriptorEmbeddings) -> _Question:
    return _Question("synthetic", SegmentScorer(None, OptimalDescriptorSolver().eval(), texts), SentenceSet({}))


def cosine_scan(table: SegmentTable, vector: Tensor, count: int) -> Tensor:
    """The segments whose frames have the highest mean cosine with one vector."""
    scores = [projected(batch.embeddings, vector[:, None]).mean((1, 2)) for batch in table.batches()]
    return torch.cat(scores).topk(count).indices


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Timed:
    """Times of several runs, in seconds and in seconds of processors."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.processor: list[float] = []

    def run(self, work: Callable[[], object]) -> None:
        began, used = time.perf_counter(), time.process_time()
        work()
        self.seconds.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - used)


def ratio(name: str, times: list[float], others: list[float]) -> str:
    ratios = [a / b for a, b in zip(times, others, strict=True)]
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    medians = f"{statistics.median(times):.3g} s | {statistics.median(others):.3g} s"
    return f"| {name} | {statistics.median(ratios):.3g} | {spread} | {medians} |"


def scan(searcher: Searcher, world: World, rounds: int) -> list[str]:
    """Exact transport against a plain cosine scan of the same table."""
    exact, plain = Timed(), Timed()
    for number in range(rounds):
        asked = question(world.texts(number))
        vector = asked.scorer.coarse_vectors()[0]
        for is_exact in (True, False) if number % 2 else (False, True):
            if is_exact:
                exact.run(lambda asked=asked: searcher._found(asked, SearchSettings()))  # type: ignore[misc]
            else:
                plain.run(lambda vector=vector: cosine_scan(searcher.table, vector, 20))  # type: ignore[misc]
    name = f"exact transport, to a cosine scan ({len(searcher.table):,} segments)"
    return [
        ratio(name, exact.seconds, plain.seconds),
        ratio("the same in processor time", exact.processor, plain.processor),
    ]


def memory(folder: Path) -> list[str]:
    """Largest memory of a command that asks with sentences, from its start to its end."""
    command = [sys.executable, "-m", "ost_lightning", "find", "--spatio", "a bowl; a whisk", "--temporal", "stirs"]
    where = ["--library", str(folder / "library"), "--weights", str(folder / "weights")]
    # what starts a process counts as memory of it, so the command is started by something small
    started = [sys.executable, "-c", _PEAK, *command, *where]
    peak = int(subprocess.run(started, stdout=subprocess.PIPE, check=True, text=True).stdout)  # noqa: S603
    return [f"| largest memory of `ost find`, encoder included | | | {peak / 1e6:.2f} GB | |"]


def coarse(searcher: Searcher, world: World, rounds: int) -> list[str]:
    """Coarse stage against the exact scan: time, and recall of the exact top 100."""
    first = seconds(lambda: searcher._found(question(world.texts(0)), SearchSettings(coarse=True)))
    exact, fast, recalls = [], [], []
    for number in range(rounds):
        asked, found = question(world.texts(number)), {}
        for is_coarse, times in ((False, exact), (True, fast)):
            settings = SearchSettings(n=100, coarse=is_coarse)
            began = time.perf_counter()
            found[is_coarse] = {one.segment.row for one in searcher._found(asked, settings).segments}
            times.append(time.perf_counter() - began)
        recalls.append(len(found[True] & found[False]) / 100)
    recall = f"{statistics.mean(recalls):.3f}, least {min(recalls):.2f}"
    return [
        ratio(f"coarse stage, to the exact scan (recall@100 {recall}, {rounds} queries)", fast, exact),
        f"| first use, which writes the means | | | {first:.3g} s | |",
    ]


def opening(folder: Path) -> list[str]:
    """Opening a library and reading one row."""
    rows = []

    def work() -> None:
        table = Library.open(folder).table()
        rows.append(len(table))
        table.segments([len(table) - 1])

    times = [seconds(work) for _ in range(5)]
    return [f"| opening {rows[0]:,} rows and reading the last one | | | {statistics.median(times):.3g} s | |"]


def classify(searcher: Searcher, world: World, rounds: int, folder: Path, rows: int = 512) -> list[str]:
    """400 classes from the table, against reading and encoding videos again."""
    texts = [world.texts(number) for number in range(20)] * 20
    together = {kind: torch.cat([one[kind] for one in texts]) for kind in DESCRIPTOR_KINDS}
    trained = searcher.model
    labels = LabelSpace(tuple(f"class {k}" for k in range(len(texts))))
    scorer = SegmentScorer(trained.video_clip, OptimalDescriptorSolver().eval(), together)
    stored = Classification(searcher.table, scorer, labels, {})
    batch = next(searcher.table.batches(rows))
    action = draw_classes(0)["unseen"][0]
    videos = [folder / f"{number}.mp4" for number in range(DECODED)]
    for video in videos:
        write_mp4(video, render_clip(action, seed=video.name))
    recognizer = Recognizer(replace(trained, matcher=OptimalDescriptorSolver()), labels)
    again = [seconds(lambda: list(recognizer.stream(videos))) / DECODED for _ in range(rounds)]
    asked = [seconds(lambda: stored._predicted(batch)) / rows for _ in range(rounds)]
    return [ratio("reading and encoding a video, to 400 classes of a stored segment", again, asked)]


def measure(part: str, folder: Path, count: int, uniform: bool, rounds: int) -> list[str]:
    """Rows about one part; the table is made unless the folder has it.

    Args:
        part: `scan`, `memory`, `coarse`, `open` or `classify`.
        folder: Folder for the library.
        count: Number of segments.
        uniform: Whether embeddings are independent.
        rounds: Number of rounds or queries.
    """
    world, trained, about = World(uniform), model_in(folder), folder / "made.json"
    wanted = {"count": count, "uniform": uniform}
    if not about.exists() or json.loads(about.read_text()) != wanted:
        table = create(folder / "library", world, trained, count)
        about.write_text(json.dumps(wanted))
    if part == "open":
        return opening(folder / "library")
    if part == "memory":
        return memory(folder)
    table = Library.open(folder / "library").table()
    searcher = Searcher(table, trained)
    if part == "classify":
        return classify(searcher, world, rounds, folder)
    return {"scan": scan, "coarse": coarse}[part](searcher, world, rounds)


def model_in(folder: Path) -> TrainedModel:
    """The same random weights in each run, in the folder."""
    weights = folder / "weights"
    if not weights.exists():
        torch.manual_seed(0)
        save_random_clip(32, weights)
    return load_trained_model(weights)
