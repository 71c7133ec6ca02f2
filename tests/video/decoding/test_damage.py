import gc
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ost_lightning.video import VideoReadError, read_frames
from tests.videos import write_video

TOP = Path(__file__).parents[3]


def read_damaged(count: int, seed: int, folder: Path) -> str:
    command = [sys.executable, "-m", "tests.video.decoding.damage", str(count), str(seed), str(folder)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_damaged_files_give_frames_or_errors_that_name_them(tmp_path: Path) -> None:
    outcomes = read_damaged(60, 1, tmp_path)
    assert "'error'" in outcomes
    assert "'frames'" in outcomes


@pytest.mark.slow
def test_two_thousand_damaged_files(tmp_path: Path) -> None:
    read_damaged(2000, 2, tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Reads several files again and again, one of which can't be read."""
    names = ("a.mp4", "b.mkv", "c.avi", "d.webm")
    settings = [{}, {}, {"codec": "mpeg4"}, {"codec": "libvpx-vp9"}]
    paths = [write_video(tmp_path / name, 12, **options) for name, options in zip(names, settings, strict=True)]
    paths[1].write_bytes(paths[1].read_bytes()[:-900])
    process, before = psutil.Process(), 0
    for k in range(20_000):
        if k == 2000:
            gc.collect()
            before = process.memory_info().rss
        path = paths[k % 4]
        try:
            read_frames(path, [k % 12, (5 * k) % 12], 32)
        except VideoReadError:
            assert path == paths[1]
        else:
            assert path != paths[1]
    gc.collect()
    assert process.memory_info().rss - before < 50 * 2**20
    assert process.num_fds() < 100


def test_truncated_mp4_with_its_index_in_front_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50, options={"g": "10"}, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.raises(VideoReadError, match=r"a\.mp4: (the file is cut off|only the first \d+ of 50 frames)"):
        read_frames(path, range(50))
