"""The benchmark of shared cores: that every division does the same work."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ost_lightning import Recognizer
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import LabelSpace
from tests.videos import write_video

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return runpy.run_path(str(FOLDER / "shared_cores.py"))["main"].__globals__  # type: ignore[no-any-return]


def test_divisions_embed_all_clips_with_their_own_threads(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer = Recognizer(load_trained_model("tiny"), LabelSpace(tuple(script["CLASSES"])))
    films = [write_video(tmp_path / f"film{number}.mp4", 16, width=64, height=64, seed=number) for number in range(2)]
    script["prepare"](tmp_path, films, 4)
    embedded: list[tuple[int, int]] = []
    encode = type(recognizer.model.video_clip).encode_frames

    def counted(clip: Any, frames: Tensor) -> Tensor:
        embedded.append((torch.get_num_threads(), len(frames)))
        return encode(clip, frames)

    monkeypatch.setattr(type(recognizer.model.video_clip), "encode_frames", counted)
    monkeypatch.setattr(sys, "argv", ["shared_cores.py", "--videos=4", "--rounds=1", "--divisions", "0/1", "0/2"])
    threads = torch.get_num_threads()
    try:
        for command in ("test", "recognize"):
            embedded.clear()
            script["compare"](command, "fp32", recognizer, tmp_path, script["parse"]())
            videos = {count: sum(clips for used, clips in embedded if used == count) for count in (1, 2)}
            assert videos == dict.fromkeys((1, 2), 8 + 12 if command == "test" else 4)
    finally:
        torch.set_num_threads(threads)
    lines = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if " x (" in line]
    assert lines == [["| 0", "1"], ["| 0", "2"]] * 2
