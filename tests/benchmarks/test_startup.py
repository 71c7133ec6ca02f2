"""What the benchmark of start-up takes for the first video."""

import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is a part of Linux")


def test_only_an_opened_video_counts(tmp_path: Path) -> None:
    for name in ("clip.mp4", "list.txt"):
        (tmp_path / name).touch()
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "startup.py"))
    with script["OpenedFiles"](tmp_path) as opened:
        (tmp_path / "list.txt").read_text()
        (tmp_path / "clip.mp4").stat()
        assert not opened.video_within(0.01)
        assert not opened.video_within(0.01)
        (tmp_path / "clip.mp4").read_bytes()
        assert opened.video_within(1)
