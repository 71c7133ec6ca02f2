import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ost_lightning.recognition.timelines import Segment

FOLDER = Path(__file__).parents[2] / "studies/timeline"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for script in FOLDER.glob("*.py"):
        sys.modules.pop(script.stem, None)


@pytest.fixture
def measures() -> ModuleType:
    import measures

    return measures


def segments(*rows: tuple[float, float, str, float]) -> list[Segment]:
    return [Segment(*row) for row in rows]


def test_average_precision_of_a_ranked_list(measures: ModuleType) -> None:
    truth = [segments((0, 4, "a", 1), (10, 14, "a", 1)), segments((0, 4, "a", 1))]
    # right, wrong, right: precision 1 and 2/3 at recall 1/3 and 2/3; the third true segment is missed
    found = [segments((0, 4, "a", 0.9), (5, 9, "a", 0.8), (10, 13, "a", 0.7)), []]
    assert measures.mean_average_precision(found, truth, (0.5,)) == pytest.approx([(1 + 2 / 3) / 3])
    # 3 of 4 seconds overlap, which is too little for 0.8
    assert measures.mean_average_precision(found, truth, (0.8,)) == pytest.approx([1 / 3])
    # a second detection of the same segment is wrong, and classes without any detection count 0
    twice = [segments((0, 4, "a", 0.9), (0, 4, "a", 0.8)), segments((0, 4, "a", 0.7))]
    truth[1] += segments((6, 9, "b", 1))
    assert measures.mean_average_precision(twice, truth, (0.5,)) == pytest.approx([(1 + 2 / 3) / 3 / 2])


def test_frames_and_edits(measures: ModuleType) -> None:
    truth = segments((0, 2, "a", 1), (3, 5, "b", 1))
    found = segments((0, 1, "a", 1), (3, 5, "a", 1), (6, 7, "b", 1))
    assert measures.frame_accuracy([found], [truth], [10.0]) == pytest.approx(0.6)
    assert measures.edit_score(found, truth) == pytest.approx(2 / 3)
    assert measures.edit_score([], truth) == 0
    assert measures.edit_score([], []) == 1


def test_auroc_counts_pairs_and_halves_ties(measures: ModuleType) -> None:
    known, none = torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0, 0.0])
    assert measures.auroc(known, none) == pytest.approx((3 + 1.5) / 6)


@pytest.mark.slow
def test_a_small_study_prints_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import comparison
    import tables
    import unknown

    variants = (comparison.BASELINE, comparison.DEFAULT)
    monkeypatch.setattr(tables, "PRETRAINED", variants)
    monkeypatch.setattr(unknown, "SPLITS", 2)
    monkeypatch.setattr(unknown, "covered", lambda *_: {"coverage": 90.0})
    monkeypatch.setattr(
        sys, "argv", ["tables.py", f"--folder={tmp_path}", "--draw=0", "--weights=pretrained", "--actions", "2", "1"]
    )
    tables.main()
    printed = capsys.readouterr().out
    assert printed.count("| threshold and merge, windows |") == 1
    assert "| **stretches (default)** |" in printed
    assert "| evidence: a quarter of worst step |" in printed
    assert "| none: that of `ost timeline` by default |" in printed
    assert "| an action, 4 times |" in printed
    assert "| 95 % | cumulative | 90.0 |" in printed
    assert sorted(path.name for path in (tmp_path / "videos").rglob("*.mp4")) == [
        "00.mp4",
        "00.mp4",
        "01.mp4",
        "01.mp4",
    ]


def test_shuffled_steps_are_the_same_sentences_in_another_order() -> None:
    import footage

    from ost_lightning.toyworld.long_videos import LongVideoClasses

    labels = LongVideoClasses.of(0, "unseen").labels
    shuffled = footage.steps_shuffled(labels, 0)
    for name in labels.names:
        written, other = labels.descriptors[name].temporal, shuffled.descriptors[name].temporal
        assert written != other
        assert sorted(written) == sorted(other)


def test_label_sets_are_tested_with_other_actions_than_they_are_calibrated_with() -> None:
    import unknown

    labels = torch.arange(4).repeat_interleave(30)
    generator = torch.Generator().manual_seed(0)
    scores = torch.nn.functional.one_hot(labels, 4) + torch.randn(120, 4, generator=generator)
    none = torch.randn(40, 4, generator=generator)
    values = torch.cat([scores, none])
    parts = unknown.Parts(
        ["action"] * 120 + ["other"] * 40,
        torch.cat([labels, torch.full((40,), -1)]), values, values, values, values, values.softmax(1),
    )  # fmt: skip
    rows = [unknown.covered(parts, "similarity", 0.1, seed) for seed in range(40)]
    coverage = sum(row["coverage"] for row in rows) / 40
    # 20 calibrate: ceil(21 x 0.9) / 21
    assert coverage == pytest.approx(100 * 19 / 21, abs=3)
    assert all(row["empty, other"] >= row["empty, listed"] - 15 for row in rows)
