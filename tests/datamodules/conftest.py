from pathlib import Path

import pytest

from tests.videos import write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small videos, 0.mp4 to 3.mp4."""
    folder = tmp_path_factory.mktemp("videos")
    for k in range(4):
        write_video(folder / f"{k}.mp4", 6, width=80, height=64, seed=k)
    return folder
