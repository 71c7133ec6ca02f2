from pathlib import Path

import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import EmbeddedVideo, Gap
from tests.recognition.timelines.inputs import embedded_video, unit_vectors


def test_edges_end_with_the_video() -> None:
    video = EmbeddedVideo("a.mp4", 1.1, 2.0, unit_vectors(2, 3), torch.tensor([0, 0, 1]), "")
    assert video.edges.tolist() == pytest.approx([0, 0.5, 1.0, 1.1])
    assert repr(video) == "EmbeddedVideo('a.mp4', 1.1 s, 2 frames, width 3)"


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        ([0, 1, 2], [(0, 3)]),
        ([-1, 0, 1, -1, -1, 2], [(1, 3), (5, 6)]),
        ([0, -1], [(0, 1)]),
        ([-1, -1], []),
    ],
)
def test_runs_are_the_parts_between_gaps(rows: list[int], runs: list[tuple[int, int]]) -> None:
    assert embedded_video(unit_vectors(3, 2), rows=torch.tensor(rows)).runs() == runs


def test_a_saved_video_is_loaded_unchanged(tmp_path: Path) -> None:
    video = embedded_video(unit_vectors(3, 4), rows=torch.tensor([0, 1, -1, 2]), gaps=(Gap(0.5, 0.75, "damaged"),))
    file = tmp_path / "kept" / "match.safetensors"
    video.save(file)
    loaded = EmbeddedVideo.load(file)
    assert torch.equal(loaded.embeddings, video.embeddings)
    assert torch.equal(loaded.rows, video.rows)
    for name in ("video", "duration", "rate", "digest", "gaps", "frame_rate"):
        assert getattr(loaded, name) == getattr(video, name)
    assert file.stat().st_size < 1000


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"no tensors")
    for file in (wrong, tmp_path / "missing.safetensors"):
        with pytest.raises(UserError, match=f"{file.name} can't be read"):
            EmbeddedVideo.load(file)


@pytest.mark.parametrize(("rows", "found"), [([0, 3], "rows from 0 to 3"), ([0, -2], "rows from -2"), ([0], r"\(1,\)")])
def test_contradictions_are_rejected(rows: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        EmbeddedVideo("a.mp4", 0.5, 4.0, unit_vectors(3, 2), torch.tensor(rows), "")
