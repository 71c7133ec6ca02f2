"""Finding the checkpoints of earlier runs."""

import re
from pathlib import Path
from typing import Final

CONFIG_IN_CHECKPOINT: Final = "ost_config"
"""Key of a checkpoint that holds the run's complete configuration."""


def last_checkpoint(experiment: Path) -> Path | None:
    """Returns the last checkpoint of the newest run that has one; None if no run has.

    Args:
        experiment: Folder that contains the runs `version_0`, `version_1`, ...
    """
    found = [file for file in experiment.glob("version_*/checkpoints/last.ckpt") if version_of(file) is not None]
    return max(found, key=lambda file: version_of(file) or 0, default=None)


def version_of(checkpoint: Path) -> int | None:
    """Returns the number n of the run `version_{n}` that a checkpoint belongs to; None for any other folder."""
    name = re.fullmatch(r"version_(\d+)", checkpoint.parent.parent.name)
    return int(name[1]) if name else None
