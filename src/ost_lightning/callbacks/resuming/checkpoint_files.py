"""Checkpoint files: written whole or not at all, read as data only."""

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ost_lightning.errors import UserError

_NOTES: Final = "ost_run"
CONFIG_IN_CHECKPOINT: Final = "ost_config"
"""Key of the whole configuration of the run, as YAML."""


@dataclass(frozen=True, slots=True)
class CheckpointNotes:
    """What a checkpoint tells beside weights and states.

    Attributes:
        config: The run's whole configuration as YAML, if it has one.
        metrics_rows: Rows of the run's table when the checkpoint was written.
        wandb_id: The run's id in W&B, if it has one.
    """

    config: str | None = None
    metrics_rows: int = 0
    wandb_id: str | None = None

    def write_to(self, checkpoint: dict[str, Any]) -> None:
        """Adds these notes to what will be saved; the configuration has its own place there."""
        notes = asdict(self)
        del notes["config"]
        checkpoint[_NOTES] = notes


def read_notes(file: Path) -> CheckpointNotes:
    """The notes of a checkpoint, without loading its tensors.

    Raises:
        UserError: If the file can't be read, or is none of a training.
    """
    saved = _load(file, "cpu", weights_only=True, mmap=True)
    if not isinstance(saved, dict) or not {"state_dict", "pytorch-lightning_version"} <= saved.keys():
        raise UserError(
            f"{file} is not a checkpoint that `ost fit` wrote. Weights of others become a folder with `ost convert`, "
            "which video_clip.pretrained is then set to."
        )
    return CheckpointNotes(config=saved.get(CONFIG_IN_CHECKPOINT), **saved.get(_NOTES, {}))


def best_checkpoint(last: Path) -> Path | None:
    """The checkpoint that a run's first `ModelCheckpoint` with a monitor chose; None if it has none.

    Args:
        last: A later checkpoint of the same run, which tells.

    Raises:
        UserError: If the file can't be read.
    """
    states = _load(last, "cpu", weights_only=True, mmap=True)["callbacks"].values()
    chosen = (Path(state["best_model_path"]) for state in states if state.get("monitor") and state["best_model_path"])
    # the run's folder may have been moved
    files = (file if file.is_file() else last.with_name(file.name) for file in chosen)
    return next((file for file in files if file.is_file()), None)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames, so that whatever happens the file is the old or the new one, and whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Saves.

        Raises:
            UserError: If the disk does not take it.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        file = Path(path)
        part = file.with_name(f".{file.name}.part")
        writer: _Writer | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as handle:
                writer = _Writer(handle)
                torch.save(checkpoint, writer)  # type: ignore[arg-type] # needs `write` and `flush` only
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(part, file)
            _sync_folder(file.parent)
        except (OSError, RuntimeError) as error:
            # torch turns what a writer raises into a RuntimeError of its own
            cause = error if isinstance(error, OSError) else writer.error if writer is not None else None
            part.unlink(missing_ok=True)
            if cause is None:
                raise
            raise UserError(_not_written(file, cause)) from error

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = lambda storage, _: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Loads; as data only unless told otherwise.

        Raises:
            UserError: If the file is damaged or holds more than data.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only is not False)
        return _load(Path(path), map_location, weights_only=weights_only is not False)


class _Writer:
    """Passes bytes on, and remembers why it could not."""

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


def _load(
    file: Path, map_location: str | Callable[..., Any] | None, *, weights_only: bool, mmap: bool = False
) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = torch.load(file, map_location=map_location, weights_only=weights_only, mmap=mmap)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"The checkpoint {file} can't be read: it is damaged, or not a file that training wrote ({reason})."
        ) from error
    return loaded


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(file: Path, cause: OSError) -> str:
    folder = next(place for place in (file.parent, *file.parent.absolute().parents) if place.exists())
    free = shutil.disk_usage(folder).free / 2**20
    before = "The one written before is whole. " if file.exists() else ""
    return (
        f"The checkpoint {file} can't be written: {cause.strerror or cause} ({free:.0f} MB are free in {folder}). "
        f"{before}Make room, and go on with the same command and --ckpt_path last."
    )
