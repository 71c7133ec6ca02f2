"""Paths of the files that come with the package: `data/`, `prompts/`, `experiments/` and the tiny CLIP."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

ResourceFolder = Literal["data", "prompts", "experiments"]

TINY_CLIP: Final = "tiny"
"""Name of the CLIP that comes with the package, accepted wherever a hub id or folder is."""


def shipped(kind: ResourceFolder) -> Path:
    """Returns a folder that comes with the package: inside an installed package, or at the top of a checkout.

    Raises:
        FileNotFoundError: If the installation is incomplete.
    """
    package = Path(str(files("ost_lightning")))
    for folder in (package / kind, package.parents[1] / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"The installation of ost_lightning has no folder '{kind}'. Reinstall the package.")


def tiny_clip_folder() -> Path:
    """Returns the folder, in HF format, of the tiny CLIP for the rendered world."""
    return Path(str(files("ost_lightning"))) / "toyworld" / "tiny_clip"


def cache_folder() -> Path:
    """Returns the folder for generated files: `$OST_CACHE`, or `ost_lightning` in the user's cache folder."""
    if chosen := os.environ.get("OST_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ost_lightning"
