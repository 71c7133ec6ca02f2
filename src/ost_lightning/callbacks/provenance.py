"""Where a run's weights and code come from."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import torch

from ost_lightning.callbacks.training_record import TrainingRecord

_PACKAGE: Final = Path(__file__).parents[1]


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
    return {"path": str(path), "sha256": content_hash, "selection": selection, "training": card}, training


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
