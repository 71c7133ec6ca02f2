"""Description of the tested weights: which they are, and how their checkpoint was trained and selected."""

import hashlib
from pathlib import Path
from typing import Any, Final

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.reporting.training_record import TrainingRecord
from ost_lightning.callbacks.resuming import CONFIG_IN_CHECKPOINT, last_checkpoint
from ost_lightning.models.checkpoints.run_folders import parsed_config
from ost_lightning.models.safe_checkpoints import load_as_data
from ost_lightning.tasks import RecognitionTask

_SHAPING: Final = (
    "max_epochs",
    "max_steps",
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "callbacks",
)


def report_weights(trainer: Trainer, task: RecognitionTask) -> None:
    """Prints which weights are used if no checkpoint is given, and the path of the experiment's last checkpoint."""
    if trainer.ckpt_path is not None:
        return
    initial = task.video_clip.init_from or task.video_clip.pretrained
    folder = trainer.log_dir
    trained = last_checkpoint(Path(folder).parent) if folder else None
    hint = f" To use {trained}, add --ckpt_path last." if trained else ""
    rank_zero_info(f"No checkpoint given: using the weights of {initial} without fine-tuning.{hint}")


def tested_checkpoint(path: Path) -> tuple[dict[str, Any], TrainingRecord | None]:
    """Describes a checkpoint for results.json: content hash, how it was selected, and what it was trained on.

    Args:
        path: File that training wrote.

    Returns:
        The description, and the training record; None if the checkpoint has no record.
    """
    contents = load_as_data(path)
    training = TrainingRecord.load(contents)
    with path.open("rb") as file:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    card = training.card() if training is not None else None
    selection = _selection(path, contents, training)
    tested = {"path": str(path), "sha256": content_hash, "selection": selection, "training": card}
    return {**tested, "settings": _training_settings(contents)}, training


def _training_settings(contents: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the settings that shaped the weights, from the training run's configuration; None if unknown."""
    text = contents.get(CONFIG_IN_CHECKPOINT)
    if not text:
        return None
    config = parsed_config(text)
    data = config["data"].get("init_args") or {}
    loading = data.get("loading") or {}
    return {
        "model": config["model"],
        "clips": data.get("clips"),
        "global_batch_size": loading.get("global_batch_size"),
        "trainer": {name: (config.get("trainer") or {}).get(name) for name in _SHAPING},
    }


def _selection(path: Path, contents: dict[str, Any], training: TrainingRecord | None) -> dict[str, Any]:
    """Describes how the checkpoint was selected among those of its run.

    Returns:
        `saved` (time of saving, in words), `last` (whether training had ended; None if unknown), `by` (metric that
        selected it; None if it wasn't selected), `validated_on` (digest of the metric's validation set; None if
        unknown).
    """
    step: int = contents.get("global_step", -1)
    total = training.steps if training is not None else -1
    known = step >= 0 and total > 0
    saved = f"after step {step} of {total}" if known else "at an unknown step"
    last, by, validated_on = (step >= total if known else None), None, None
    for state in (contents.get("callbacks") or {}).values():
        if not isinstance(state, dict) or not state.get("monitor"):
            continue
        if Path(state.get("best_model_path") or "").name == path.name:
            by = str(state["monitor"])
            name = by.removeprefix("val/").rpartition("/")[0]
            validated_on = training.validation.get(name) if training is not None else None
    return {"saved": saved, "last": last, "by": by, "validated_on": validated_on}
