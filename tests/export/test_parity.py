"""What an export checks of itself."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.export import ExportSource, parity
from ost_lightning.export.parity import AgreementWarning, check, equal_top, read_views, suite_probabilities
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes

EXPECTED = torch.tensor([[0.4, 0.2, 0.15, 0.1, 0.08, 0.07]])


@pytest.fixture(scope="module")
def source() -> ExportSource:
    names = [action.name for action in draw_classes(0)["unseen"]]
    recognizer = Recognizer.load("tiny", labels=names, device="cpu")
    clip, texts = recognizer._video_clip, recognizer._texts
    return ExportSource(clip, recognizer.matcher, texts, recognizer.labels, recognizer.clips, "digest")


def exported(source: ExportSource, monkeypatch: pytest.MonkeyPatch, change: torch.Tensor) -> None:
    """Puts the suite in place of a graph, with a change of its probabilities."""

    def recognize(frames: np.ndarray) -> np.ndarray:
        return (suite_probabilities(source, torch.from_numpy(frames)) + change).numpy()

    runner = SimpleNamespace(load=lambda name: recognize, read_clip=lambda video: read_views(source, video).numpy())
    monkeypatch.setattr(parity, "load_runner", lambda folder: runner)


@pytest.mark.parametrize(
    ("order", "equal"),
    [
        ([0, 1, 2, 3, 4, 5], [True, True]),
        ([0, 1, 2, 3, 5, 4], [True, False]),  # another one is fifth
        ([0, 2, 1, 3, 4, 5], [True, False]),
        ([1, 0, 2, 3, 4, 5], [False, False]),
    ],
)
def test_top_classes_are_compared_in_order(order: list[int], equal: list[bool]) -> None:
    found = EXPECTED[:, order]
    assert [bool(equal_top(found, EXPECTED, count)) for count in (1, 5)] == equal


def test_ties_may_change_places_and_few_classes_are_all_compared() -> None:
    tied = torch.tensor([[0.5, 0.25, 0.249995]])
    assert equal_top(torch.tensor([[0.5, 0.249994, 0.250001]]), tied, 5).all()
    assert not equal_top(torch.tensor([[0.5, 0.2499, 0.25]]), torch.tensor([[0.5, 0.25, 0.2499]]), 5).any()


def test_a_graph_in_fp32_with_other_top_classes_fails(
    source: ExportSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    change = torch.zeros(len(source.labels))
    exported(source, monkeypatch, change)
    assert check(source, tmp_path, "onnx", "fp32").top5_equal == 1
    change[::2] = 5e-4
    with pytest.raises(UserError, match=r"onnx fails on random frames: its probabilities differ .* up to 0.0005"):
        check(source, tmp_path, "onnx", "fp32")
    monkeypatch.setattr(parity, "TOLERANCE", 1)
    change[::2] = 0.5
    with pytest.raises(UserError, match="onnx fails on random frames: its five most likely classes differ"):
        check(source, tmp_path, "onnx", "fp32")
    change[:] = torch.nan
    with pytest.raises(UserError, match="differ from the suite's by up to nan"):
        check(source, tmp_path, "onnx", "int8")


def test_low_agreement_on_given_videos_is_told_with_the_share(
    source: ExportSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    videos = [tmp_path / f"{number}.mp4" for number in range(2)]
    for number, video in enumerate(videos):
        write_mp4(video, render_clip(draw_classes(1)["seen"][number], seed="given"))
    change = torch.zeros(len(source.labels))
    best = suite_probabilities(source, read_views(source, videos[0])).argmax()
    change[best] = -1
    exported(source, monkeypatch, change)
    assert check(source, tmp_path, "onnx", "int8").videos == "rendered"
    with pytest.warns(AgreementWarning, match=r"In int8, the format onnx has .* for (0|50).0 % of 2 clips"):
        found = check(source, tmp_path, "onnx", "int8", videos)
    assert (found.clips, found.videos) == (2, "given")
    assert found.top1_equal < 1


def test_frames_that_differ_are_named(source: ExportSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    exported(source, monkeypatch, torch.zeros(len(source.labels)))
    monkeypatch.setattr(parity, "read_views", lambda *_: torch.zeros(1, 8, 3, 48, 48, dtype=torch.uint8))
    other = SimpleNamespace(**{**vars(parity.load_runner(tmp_path)), "read_clip": lambda video: np.ones(1)})
    monkeypatch.setattr(parity, "load_runner", lambda folder: other)
    with pytest.raises(UserError, match=r"fails on a rendered video: runner.py reads other frames"):
        check(replace(source), tmp_path, "onnx", "fp32")
