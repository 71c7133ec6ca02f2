"""Finding the checkpoints of earlier runs."""

import re
from pathlib import Path


def last_checkpoint(experiment: Path) -> Path | None:
    """The last checkpoint of the newest run that has one; None if there is none.

    Args:
        experiment: Folder of the runs `version_0`, `version_1`, ...
    """
    found = [file for file in experiment.glob("version_*/checkpoints/last.ckpt") if version_of(file) is not None]
    return max(found, key=lambda file: version_of(file) or 0, default=None)


def version_of(checkpoint: Path) -> int | None:
    """Number n of the run `version_{n}` that a checkpoint belongs to; None if it is in no such folder."""
    name = re.fullmatch(r"version_(\d+)", checkpoint.parent.parent.name)
    return int(name[1]) if name else None
