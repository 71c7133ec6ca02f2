"""What grows with the number of processes; parts of `growth.py`. Times are those of the clock."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from growth_measure import Measured, Work, begin_peak, memory
from torch import distributed
from torchmetrics import Metric

from ost_lightning.evaluation import ClipSettings, EvaluationLoader, EvaluationSet, evaluation_clips
from ost_lightning.evaluation.metrics import ConfusionCounts, RecognitionAccuracy
from ost_lightning.tasks.gathering import gather
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.video import EvaluationSampler, VideoRecord

VIDEOS, CLASSES, ROWS, REPETITIONS = 64, 400, 10_000, 20
"""Videos that are read; classes, rows and repetitions of what is exchanged."""
CLIPS = ClipSettings(frames=4, short_side=64, crop_size=64, framing="crop", sample_aspect=True, resize="bilinear")


def loading(workers: int, folder: Path) -> Work:
    """The same videos through more workers; memory is what the workers add together."""
    video = folder / "video.mp4"
    write_mp4(video, render_clip(draw_classes(0)["unseen"][0], seed="0"))
    records = [VideoRecord(str(video), 0, str(number)) for number in range(VIDEOS)]
    dataset = evaluation_clips(records, CLIPS, read_timeout=60, view_seed=0)
    evaluation_set = EvaluationSet("test", LabelSpace(("one",)), VIDEOS)

    def work() -> Measured:
        loader = EvaluationLoader(
            dataset, set=evaluation_set, batch_size=4, sampler=EvaluationSampler(VIDEOS), num_workers=workers
        )
        began, used = time.perf_counter(), 0
        for _ in loader:
            used = used or sum(
                memory("Pss", f"/proc/{process.pid}/smaps_rollup") for process in multiprocessing.active_children()
            )
        return Measured(time.perf_counter() - began, used)

    return work


def exchanging(exchange: Callable[[], Callable[[], object]], processes: int, folder: Path) -> Work:
    """What every process does together with all others; memory is the largest of one process."""

    def work() -> Measured:
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        place = folder / str(time.perf_counter_ns())  # where they meet, once
        started = [
            context.Process(target=_exchange, args=(exchange, rank, processes, place, results))
            for rank in range(processes)
        ]
        for process in started:
            process.start()
        found = [results.get() for _ in started]
        for process in started:
            process.join()
        return Measured(max(one.seconds for one in found), max(one.bytes for one in found))

    return work


def _exchange(
    exchange: Callable[[], Callable[[], object]],
    rank: int,
    processes: int,
    place: Path,
    results: "multiprocessing.SimpleQueue[Measured]",
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=processes)
    once = exchange()
    once()
    before, taken = begin_peak(), []
    for _ in range(REPETITIONS):
        distributed.barrier()
        began = time.perf_counter()
        once()
        taken.append(time.perf_counter() - began)
    results.put(Measured(statistics.median(taken), memory("VmHWM") - before))
    distributed.destroy_process_group()


def accuracies() -> Callable[[], object]:
    metric = RecognitionAccuracy()
    metric.update(torch.eye(CLASSES), torch.arange(CLASSES))
    return partial(computed_again, metric)


def confusions() -> Callable[[], object]:
    """The confusion of 10,000 videos of each process."""
    metric = ConfusionCounts(CLASSES)
    for _ in range(ROWS // CLASSES):
        metric.update(torch.eye(CLASSES), torch.arange(CLASSES))
    return partial(computed_again, metric)


def computed_again(metric: Metric) -> object:
    metric._computed = None  # otherwise it returns what it has exchanged before
    return metric.compute()


def rows() -> Callable[[], object]:
    """Embeddings of 32 videos of each process, as in contrastive training."""
    tensor = torch.ones(32, 8, 512)
    return lambda: gather(tensor)


PROCESSES = {
    "64 videos through loader workers": loading,
    "exchange of accuracies": partial(exchanging, accuracies),
    "exchange of confusions": partial(exchanging, confusions),
    "exchange of embeddings": partial(exchanging, rows),
}
