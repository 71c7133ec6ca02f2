"""Writers that are killed at any moment, and several at once: the table equals that of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ost_lightning.library import Library, SegmentTable
from ost_lightning.recognition import TrainedModel, load_trained_model
from tests.library.contents import rows
from tests.processes import environment
from tests.videos import write_video

pytest.importorskip("lance", reason="needs the extra `library`")
from tests.library.writers import SEGMENTS, SETTINGS


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return load_trained_model("tiny")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty short videos, three long ones, and one that can't be read."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(30):
        write_video(folder / f"{number}.mp4", count=9 + number % 5, seed=number)
    for number in range(3):
        write_video(folder / f"1{number}_long.mp4", count=70, seed=number)
    (folder / "2_broken.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture(scope="module")
def undisturbed(clips: Path, model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> SegmentTable:
    library = Library.open(tmp_path_factory.mktemp("undisturbed"), create=True)
    library.index(sorted(clips.glob("*.mp4")), model, SEGMENTS, SETTINGS)
    return library.table()


class Writers:
    """Writers into one library, which are started and killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._said() == "ready"

    def start(self) -> int:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return int(self._said())

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def writers(library: Path, clips: Path) -> Iterator[Writers]:
    command = [sys.executable, "-m", "tests.library.writers", str(library), str(clips)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield Writers(process)
        finally:
            process.kill()


def frames(table: SegmentTable) -> Counter[Any]:
    found = table.frame_dataset.to_table(columns=["video", "video_digest", "frame", "step", "steps"])
    return Counter(tuple(row.values()) for row in found.to_pylist())


def kill_and_finish(
    library: Path, clips: Path, model: TrainedModel, undisturbed: SegmentTable, *, kills: int, seed: int
) -> None:
    draw = random.Random(seed)
    with writers(library, clips) as started:
        living = [started.start(), started.start()]
        for _ in range(kills):
            time.sleep(draw.uniform(0, 0.4))
            killed = living.pop(draw.randrange(2))
            os.kill(killed, signal.SIGKILL)  # a zombie if it has finished
            living.append(started.start())
    opened = Library.open(library, create=True)
    progress = opened.index(sorted(clips.glob("*.mp4")), model, SEGMENTS, SETTINGS)
    assert progress.remaining == 0
    table = opened.table()
    assert rows(table) == rows(undisturbed)
    assert frames(table) == frames(undisturbed)
    assert table.error_dataset.count_rows() == 1
    again = opened.index(sorted(clips.glob("*.mp4")), model, SEGMENTS, SETTINGS)
    assert (again.stored, again.failed, again.todo) == (33, 1, 0)


def test_two_writers_that_are_killed_leave_no_repeats_and_no_holes(
    clips: Path, model: TrainedModel, undisturbed: SegmentTable, tmp_path: Path
) -> None:
    kill_and_finish(tmp_path / "library", clips, model, undisturbed, kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_two_writers_that_are_killed_many_times(
    clips: Path, model: TrainedModel, undisturbed: SegmentTable, tmp_path: Path, seed: int
) -> None:
    kill_and_finish(tmp_path / "library", clips, model, undisturbed, kills=20, seed=seed)
