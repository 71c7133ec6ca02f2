"""Every reader gives the same frames by index, except for known errors of other readers."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.videos import decode_all, write_video

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
CAN_NOT_READ = {("decord", "av1.mkv"), ("decord", "late.ts"), ("torchcodec", "late.ts")}
READS_OTHER_FRAMES = {("decord", "h264_open.mkv"), ("decord", "mpeg4.mp4")}
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "other_readers.py"
link_ffmpeg = runpy.run_path(str(SCRIPT))["link_ffmpeg"]
READ = f"""
import runpy, sys, numpy
from pathlib import Path
READERS = runpy.run_path({str(SCRIPT)!r})["READERS"]
reader, path, indices, out = sys.argv[1:]
frames = READERS[reader](Path(path), [int(k) for k in indices.split(",")], None)
numpy.save(out, frames.numpy())
"""
WANTED = [0, 3, 4, 11, 7, 19]


@pytest.fixture(scope="module")
def ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns an environment in which torchcodec finds PyAV's FFmpeg."""
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
    path = write_video(tmp_path / name, 20, **FILES[name])
    reference = decode_all(path)[WANTED]
    assert np.array_equal(read("ost", path, ffmpeg), reference)
    if (reader, name) in CAN_NOT_READ:
        with pytest.raises(AssertionError, match="Error"):
            read(reader, path, ffmpeg)
        return
    theirs = read(reader, path, ffmpeg)
    assert theirs.shape == reference.shape
    # builds of FFmpeg round colors differently by one level; a different frame differs by dozens
    same = bool(np.abs(reference.astype(int) - theirs).mean((1, 2, 3)).max() < 1.5)
    assert same == ((reader, name) not in READS_OTHER_FRAMES)


@pytest.mark.skipif(sys.platform != "linux", reason="PyAV's wheels carry FFmpeg elsewhere")
def test_ffmpeg_is_linked_under_the_expected_names(tmp_path: Path) -> None:
    for _ in range(2):  # the second time over existing links
        link_ffmpeg(tmp_path)
    for library, version in av.library_versions.items():
        assert (tmp_path / f"{library}.so.{version[0]}").resolve(strict=True).is_file()
