from pathlib import Path

from ost_lightning.callbacks.resuming import last_checkpoint, version_of


def checkpoint(experiment: Path, version: str) -> Path:
    file = experiment / version / "checkpoints" / "last.ckpt"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def test_the_newest_run_with_a_checkpoint_is_found(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "nothing") is None
    checkpoint(tmp_path, "version_9")
    newest = checkpoint(tmp_path, "version_10")
    (tmp_path / "version_11").mkdir()  # an evaluation
    checkpoint(tmp_path, "version_old")
    assert last_checkpoint(tmp_path) == newest
    assert version_of(newest) == 10
    assert version_of(Path("elsewhere/last.ckpt")) is None
