from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from ost_lightning import Recognizer
from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.errors import UserError
from ost_lightning.export import ExportSettings
from ost_lightning.export.tested_weights import results_of
from tests.analysis.example_runs import outcome, run


@pytest.fixture
def tested(tmp_path: Path) -> tuple[Path, RunResults]:
    """A checkpoint, and the results of its test beside it."""
    checkpoint = tmp_path / "version_0/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    digest = sha256(b"weights").hexdigest()
    results = replace(
        run(None, None, hmdb51=outcome("hmdb51-split1", 0.559)), checkpoint={"path": str(checkpoint), "sha256": digest}
    )
    results.save(tmp_path / "version_0/results.json")
    return checkpoint, results


def test_the_card_has_the_scores_of_these_weights(tested: tuple[Path, RunResults], tmp_path: Path) -> None:
    checkpoint, results = tested
    found = results_of(checkpoint)
    assert found is not None
    assert found.sets == results.sets
    folder = Recognizer.load("tiny", labels=["a", "b"], device="cpu").export(
        tmp_path / "out", settings=ExportSettings(results=found)
    )
    card = (folder / "README.md").read_text()
    assert "| hmdb51 | as trained | 55.9 |" in card
    assert "hmdb51-split1" in card
    assert "MIT license" in card


def test_scores_of_other_weights_are_left_out_or_refused(tested: tuple[Path, RunResults], tmp_path: Path) -> None:
    checkpoint, _ = tested
    file = checkpoint.parent.parent / "results.json"
    assert results_of(None) is None
    with pytest.raises(UserError, match="has the scores of other weights"):
        results_of(None, file)
    checkpoint.write_bytes(b"other weights")
    assert results_of(checkpoint) is None
    with pytest.raises(UserError, match=r"has the scores of other weights.*Test these weights"):
        results_of(checkpoint, file)
