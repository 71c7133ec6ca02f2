"""Checkpoint files: written atomically, read as data only."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write, remove_interrupted_writes
from ost_lightning.models.checkpoints.checkpoint_digest import (
    verify_states,
    verify_weights,
    with_digests,
    without_digests,
)
from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT
from ost_lightning.models.safe_checkpoints import load_as_data, local_file

_NOTES: Final = "ost_run"
_RENAMED_STATES: Final = {"SeveralSets": "CombinedDataModule"}
"""New name by old name of the data modules whose position in the epoch checkpoints of version 0.1 contain."""


@dataclass(frozen=True, slots=True)
class CheckpointNotes:
    """Information about a run that its checkpoints contain beside weights and states.

    Attributes:
        config: Complete configuration of the run as YAML; None if unknown.
        metrics_rows: Number of rows in the run's metrics.csv when the checkpoint was written.
        wandb_id: Id of the run in W&B; None if the run is not in W&B.
    """

    config: str | None = None
    metrics_rows: int = 0
    wandb_id: str | None = None

    def write_to(self, checkpoint: dict[str, Any]) -> None:
        """Adds the notes to a checkpoint's contents, except the configuration, which has a separate key."""
        notes = asdict(self)
        del notes["config"]
        checkpoint[_NOTES] = notes


def read_notes(file: Path) -> CheckpointNotes:
    """Reads the notes of a checkpoint without loading its tensors.

    Raises:
        UserError: If the file can't be read, or wasn't written by training.
    """
    saved = load_as_data(file)
    if not isinstance(saved, dict) or not {"state_dict", "pytorch-lightning_version"} <= saved.keys():
        raise UserError(
            f"{file} is not a checkpoint that `ost fit` wrote. To use weights of other programs, convert them to a "
            "folder with `ost convert`, and set model.video_clip.pretrained to that folder."
        )
    try:
        return CheckpointNotes(config=saved.get(CONFIG_IN_CHECKPOINT), **saved.get(_NOTES, {}))
    except TypeError as error:
        raise UserError(f"{file} can't be read as a checkpoint: its notes on the run are damaged ({error}).") from error


def best_checkpoint(last: Path) -> Path | None:
    """Returns the path of the best checkpoint by the run's first `ModelCheckpoint` with a monitor; None if it has none.

    Args:
        last: Later checkpoint of the same run, whose callback states contain the path.

    Raises:
        UserError: If the file can't be read.
    """
    states = load_as_data(last)["callbacks"].values()
    chosen = (Path(state["best_model_path"]) for state in states if state.get("monitor") and state["best_model_path"])
    # the run's folder may have been moved
    files = (file if file.is_file() else last.with_name(file.name) for file in chosen)
    return next((file for file in files if file.is_file()), None)


def refuse_code(weights_only: bool | None) -> None:
    """Refuses the setting that lets a checkpoint execute code.

    Raises:
        UserError: If `weights_only` is False.
    """
    if weights_only is False:
        raise UserError(
            "weights_only is false, which would let a checkpoint execute any code that it contains. Checkpoints are "
            "read as data only: remove the setting."
        )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file and renames it, so that the file is always complete, old or new.

    Lightning's own writer also renames, but holds a full copy in memory and doesn't flush to the disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Saves a checkpoint, with digests of its tensors.

        Raises:
            UserError: If the disk is full or not writable.
        """
        checkpoint = with_digests(checkpoint)
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        file = Path(path)
        writer: _Writer | None = None
        try:
            remove_interrupted_writes(file)
            with atomic_write(file, durable=True) as partial, partial.open("wb") as handle:
                writer = _Writer(handle)
                torch.save(checkpoint, writer)  # type: ignore[arg-type] # needs `write` and `flush` only
        except (OSError, RuntimeError) as error:
            # torch.save replaces the writer's exception by a RuntimeError
            cause = error if isinstance(error, OSError) else writer.error if writer is not None else None
            if cause is None:
                raise
            raise UserError(_not_written(file, cause)) from error

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = lambda storage, _: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Loads a checkpoint, as data only.

        Raises:
            UserError: If `weights_only` is False, which would let the file execute code; if the file is damaged or
                contains code, or its tensors are not those that were saved; or if it isn't on this machine.
        """
        refuse_code(weights_only)
        contents = load_as_data(local_file(path), map_location, mmap=False)
        verify_weights(contents, path)
        verify_states(contents, path)
        contents = without_digests(contents)
        return {_RENAMED_STATES.get(key, key): value for key, value in contents.items()}


class _Writer:
    """File writer that keeps the error if writing fails."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _not_written(file: Path, cause: OSError) -> str:
    folder = next(path for path in (file.parent, *file.parent.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**20
    previous = "The previous checkpoint is intact. " if file.exists() else ""
    return (
        f"Can't write the checkpoint {file}: {cause.strerror or cause} ({free:.0f} MB free in {folder}). "
        f"{previous}Free some space, then resume with the same command and --ckpt_path last."
    )
