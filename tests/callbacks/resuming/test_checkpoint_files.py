import os
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from ost_lightning.callbacks.resuming import AtomicCheckpointIO, CheckpointNotes, best_checkpoint, read_notes
from ost_lightning.errors import UserError
from ost_lightning.models.checkpoints.initial_weights import read_checkpoint
from tests.full_disk import files_of_at_most


def test_round_trip_with_notes(tmp_path: Path) -> None:
    file = tmp_path / "new" / "last.ckpt"
    checkpoint = {"state_dict": {"w": torch.arange(3.0)}, "pytorch-lightning_version": "2.6", "ost_config": "model: 1"}
    CheckpointNotes(metrics_rows=7, wandb_id="abc").write_to(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, file)
    assert read_notes(file) == CheckpointNotes(config="model: 1", metrics_rows=7, wandb_id="abc")
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(file)["state_dict"]["w"], torch.arange(3.0))
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("limit", [0, 100, 5_000, 300_000])
def test_a_full_disk_leaves_the_previous_file_intact(tmp_path: Path, limit: int) -> None:
    file, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    writer.save_checkpoint({"step": 1, "w": torch.zeros(10)}, file)
    with (
        files_of_at_most(limit),
        pytest.raises(
            UserError, match=r"Can't write the checkpoint .*last.ckpt.*previous checkpoint is intact"
        ) as raised,
    ):
        writer.save_checkpoint({"step": 2, "w": torch.zeros(200_000)}, file)
    assert "too large" in str(raised.value)
    assert writer.load_checkpoint(file)["step"] == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_checkpoint_is_on_the_disk_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, sync, exists = tmp_path / "last.ckpt", os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda descriptor: (exists.append(file.exists()), sync(descriptor)))
    AtomicCheckpointIO().save_checkpoint({"step": 1}, file)
    assert exists == [False, True]  # the file, then its name


def test_files_left_by_a_killed_process_are_removed(tmp_path: Path) -> None:
    file, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    (tmp_path / ".last-0123456789ab.partial.ckpt").write_bytes(b"half of a checkpoint")
    writer.save_checkpoint({"step": 1}, file)
    assert writer.load_checkpoint(file) == {"step": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_the_state_of_a_renamed_data_module_is_found(tmp_path: Path) -> None:
    torch.save({"SeveralSets": {"epoch": 1, "batches": 3}, "step": 1}, tmp_path / "old.ckpt")
    contents = AtomicCheckpointIO().load_checkpoint(tmp_path / "old.ckpt")
    assert contents == {"CombinedDataModule": {"epoch": 1, "batches": 3}, "step": 1}


class Surprise:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("surprise",)


def test_checkpoints_are_data_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Surprise()}, "evil.ckpt")
    for read in (read_notes, AtomicCheckpointIO().load_checkpoint):
        with pytest.raises(UserError, match=r"evil\.ckpt can't be read .*`posix\.mkdir`.*none of its code"):
            read(Path("evil.ckpt"))
    assert not Path("surprise").exists()


def test_code_is_not_executed_on_request_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Surprise()}, "evil.ckpt")
    with pytest.raises(UserError, match="weights_only is false, which would let a checkpoint execute any code"):
        AtomicCheckpointIO().load_checkpoint("evil.ckpt", weights_only=False)
    with pytest.raises(UserError, match=r"would call Python's `posix\.mkdir`"):
        AtomicCheckpointIO().load_checkpoint(f"file://{tmp_path}/evil.ckpt")
    with pytest.raises(UserError, match=r"s3://bucket/evil\.ckpt is a URL.*local files only"):
        AtomicCheckpointIO().load_checkpoint("s3://bucket/evil.ckpt")
    assert not Path("surprise").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_changed_byte_never_ends_in_another_exception(tmp_path: Path) -> None:
    """Every byte of the pickle within the archive is changed in turn."""
    file = tmp_path / "last.ckpt"
    checkpoint = {"state_dict": {"video_clip.w": torch.zeros(2)}, "pytorch-lightning_version": "2.6"}
    CheckpointNotes(metrics_rows=7, wandb_id="abc").write_to(checkpoint)
    torch.save(checkpoint | {"ost_config": "model: 1"}, file)
    content = file.read_bytes()
    with ZipFile(file) as archive:
        (pickled,) = (archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    start, refused = content.index(pickled), 0
    for position in range(start, start + len(pickled)):
        file.write_bytes(content[:position] + bytes([content[position] ^ 0x81]) + content[position + 1 :])
        for read in (read_notes, AtomicCheckpointIO().load_checkpoint, read_checkpoint):
            try:
                read(file)
            except UserError as error:
                refused += "weights_only" not in str(error)
    assert refused > len(pickled)


def test_a_truncated_file_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match="damaged"):
        AtomicCheckpointIO().load_checkpoint(file)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"model": {"w": torch.zeros(2)}}, {"state_dict": {}}])
def test_checkpoints_of_other_programs_are_rejected(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "foreign.pth")
    with pytest.raises(UserError, match=r"foreign\.pth is not a checkpoint that `ost fit` wrote.*`ost convert`"):
        read_notes(tmp_path / "foreign.pth")


def test_the_best_checkpoint_is_found_even_after_the_run_was_moved(tmp_path: Path) -> None:
    last, best = tmp_path / "last.ckpt", tmp_path / "epoch=2.ckpt"
    unwatched = {"monitor": None, "best_model_path": str(last)}
    for path in (str(best), "elsewhere/epoch=2.ckpt"):
        torch.save(
            {"callbacks": {"Figures": {"n": 1}, "a": unwatched, "b": {"monitor": "x", "best_model_path": path}}}, last
        )
        best.unlink(missing_ok=True)
        assert best_checkpoint(last) is None
        best.touch()
        assert best_checkpoint(last) == best
