from pathlib import Path

import pytest

from ost_lightning.callbacks.resuming import last_checkpoint, version_of
from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.run_folders import parsed_config


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


def test_a_damaged_configuration_is_refused() -> None:
    assert parsed_config("model: {a: 1}\ndata: {}") == {"model": {"a": 1}, "data": {}}
    for text in ("model: {a: 1}\ndata: {", "model: \x001", "!!python/object/apply:os.system ['true']"):
        with pytest.raises(CheckpointError, match="configuration in the checkpoint is damaged: it is not YAML"):
            parsed_config(text)
    for text in ("[1]", "model: 1\ndata: {}", "modem: {}\ndata: {}", ""):
        with pytest.raises(CheckpointError, match="expected `model` and `data`"):
            parsed_config(text)
