"""Where a run's weights and code come from."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.analysis.published_lists import PublishedList, identify
from ost_lightning.callbacks.reporting.training_record import TrainingRecord
from ost_lightning.callbacks.resuming import CONFIG_IN_CHECKPOINT, last_checkpoint
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.tasks import RecognitionTask
from ost_lightning.video.annotations.video_ids import list_digest, video_id

_PACKAGE: Final = Path(__file__).parents[2]
_SHAPING: Final = (
    "max_epochs",
    "max_steps",
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "callbacks",
)


def run_seed() -> int | None:
    """Seed that `seed_everything` was given."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed else None


def git_state() -> dict[str, Any] | None:
    """Revision of the source tree, and whether tracked files were changed; None if the package is not in one."""
    tree, git = _PACKAGE.parents[1], shutil.which("git")
    if git is None or not (tree / ".git").exists():
        return None
    answers = [
        subprocess.run([git, "-C", str(tree), *command], capture_output=True, text=True, check=False)  # noqa: S603  # fixed commands
        for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    ]
    if any(answer.returncode for answer in answers):
        return None
    return {"revision": answers[0].stdout.strip(), "changed": bool(answers[1].stdout.strip())}


def tell_weights(trainer: Trainer, task: RecognitionTask) -> None:
    """Names the weights of a test or prediction without a checkpoint, and the experiment's last one if it has any."""
    if trainer.ckpt_path is not None:
        return
    begun_with = task.video_clip.init_from or task.video_clip.pretrained
    folder = trainer.log_dir
    trained = last_checkpoint(Path(folder).parent) if folder else None
    instead = f"; --ckpt_path last takes {trained}" if trained else ""
    rank_zero_info(f"no checkpoint is given: the weights are those of {begun_with}, as they are{instead}")


def published_as(videos: LabeledVideos) -> PublishedList | None:
    """The published test list that these videos are, if they are one."""
    return identify(digest_of(videos), videos.labels)


def digest_of(videos: LabeledVideos) -> str:
    """Of the ids of the listed videos, in any order."""
    return list_digest(video_id(record.id) for record in videos.records)


def tested_checkpoint(path: Path) -> tuple[dict[str, Any], TrainingRecord | None]:
    """What a checkpoint is: its content hash, how it came to be chosen, and what it was trained on.

    Args:
        path: File that training wrote.
    """
    contents = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    training = TrainingRecord.load(contents)
    with path.open("rb") as file:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    card = training.card() if training is not None else None
    selection = _selection(path, contents, training)
    tested = {"path": str(path), "sha256": content_hash, "selection": selection, "training": card}
    return {**tested, "settings": _training_settings(contents)}, training


def _training_settings(contents: dict[str, Any]) -> dict[str, Any] | None:
    """What shaped the weights, of the configuration of the run that trained them; None if it is not known."""
    config = yaml.safe_load(contents.get(CONFIG_IN_CHECKPOINT) or "null")
    if config is None:
        return None
    data = config["data"].get("init_args") or {}
    loading = data.get("loading") or {}
    return {
        "model": config["model"],
        "clips": data.get("clips"),
        "global_batch_size": loading.get("global_batch_size"),
        "trainer": {name: config["trainer"].get(name) for name in _SHAPING},
    }


def _selection(path: Path, contents: dict[str, Any], training: TrainingRecord | None) -> dict[str, Any]:
    """How the checkpoint was chosen among those of its run.

    Returns:
        `saved` (when), `last` (whether that was the end of training; None if not known), `by` (metric that chose it,
        if one did), `validated_on` (digest of the set that this metric is about, if known).
    """
    step: int = contents.get("global_step", -1)
    total = training.steps if training is not None else -1
    known = step >= 0 and total > 0
    saved = f"after step {step} of {total}" if known else "at a time that it does not tell"
    last, by, validated_on = (step >= total if known else None), None, None
    for state in (contents.get("callbacks") or {}).values():
        if not isinstance(state, dict) or not state.get("monitor"):
            continue
        if Path(state.get("best_model_path") or "").name == path.name:
            by = str(state["monitor"])
            name = by.removeprefix("val/").rpartition("/")[0]
            validated_on = training.validation.get(name) if training is not None else None
    return {"saved": saved, "last": last, "by": by, "validated_on": validated_on}
