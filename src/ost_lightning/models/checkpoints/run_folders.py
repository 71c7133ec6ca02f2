"""Earlier runs: finding their checkpoints, and reading the configuration in them."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from ost_lightning.errors import CheckpointError

CONFIG_IN_CHECKPOINT: Final = "ost_config"
"""Key of a checkpoint that holds the run's complete configuration."""


def last_checkpoint(experiment: Path) -> Path | None:
    """Returns the last checkpoint of the newest run that has one; None if no run has.

    Args:
        experiment: Folder that contains the runs `version_0`, `version_1`, ...
    """
    found = [file for file in experiment.glob("version_*/checkpoints/last.ckpt") if version_of(file) is not None]
    return max(found, key=lambda file: version_of(file) or 0, default=None)


def parsed_config(text: str) -> dict[str, Any]:
    """Returns the configuration in a checkpoint as nested dictionaries; classes in it are not imported.

    Args:
        text: Content of `CONFIG_IN_CHECKPOINT`.

    Raises:
        CheckpointError: If it is not the configuration of a run.
    """
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"The configuration in the checkpoint is damaged: it is not YAML ({reason}).") from error
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in ("model", "data")):
        raise CheckpointError("The configuration in the checkpoint is damaged: expected `model` and `data` in it.")
    return config


def version_of(checkpoint: Path) -> int | None:
    """Returns the number n of the run `version_{n}` that a checkpoint belongs to; None for any other folder."""
    name = re.fullmatch(r"version_(\d+)", checkpoint.parent.parent.name)
    return int(name[1]) if name else None
