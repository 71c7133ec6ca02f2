"""Frames by index are the same frames by every reader, on all files that another one can read."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ost_lightning.video.other_readers import link_ffmpeg
from tests.videos import write_video

FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264_short.mp4": {"options": {"g": "6", "bf": "2"}},
    "h264_open.mkv": {"options": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "variable.mp4": {"ticks": [k * k for k in range(20)]},
    "late.ts": {"ticks": [100 + 4 * k for k in range(20)]},
    "av1.mkv": {"codec": "libsvtav1"},
}
KNOWN_TO_FAIL = {("decord", "av1.mkv")}
READ = """
import sys, numpy
from pathlib import Path
from ost_lightning.video.other_readers import READERS
reader, path, indices, out = sys.argv[1:]
frames = READERS[reader](Path(path), [int(k) for k in indices.split(",")], None)
numpy.save(out, frames.numpy())
"""
WANTED = [0, 3, 4, 11, 7, 19]


@pytest.fixture(scope="module")
def ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which torchcodec finds PyAV's FFmpeg."""
    folder = tmp_path_factory.mktemp("ffmpeg")
    link_ffmpeg(folder)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def read(reader: str, path: Path, environment: dict[str, str]) -> np.ndarray[Any, Any]:
    out = path.with_suffix(f".{reader}.npy")
    command = [sys.executable, "-c", READ, reader, str(path), ",".join(map(str, WANTED)), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(out)


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["decord", "torchcodec"])
@pytest.mark.parametrize("name", FILES)
def test_readers_give_the_same_frames(tmp_path: Path, name: str, reader: str, ffmpeg: dict[str, str]) -> None:
    if (reader, name) in KNOWN_TO_FAIL:
        with pytest.raises(AssertionError):
            read(reader, write_video(tmp_path / name, 20, **FILES[name]), ffmpeg)
        return
    path = write_video(tmp_path / name, 20, **FILES[name])
    ours, theirs = read("ost", path, ffmpeg), read(reader, path, ffmpeg)
    assert ours.shape == theirs.shape
    # other builds of FFmpeg round colours differently by a level; another frame differs by dozens
    assert np.abs(ours.astype(int) - theirs).mean((1, 2, 3)).max() < 1.5
