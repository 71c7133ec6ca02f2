"""Paths of the files that come with the package: `data/`, `prompts/`, `experiments/` and the tiny models."""

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

ResourceFolder = Literal["data", "prompts", "experiments"]

TINY_CLIP: Final = "tiny"
"""Name of the CLIP that comes with the package, accepted wherever a hub id or folder is."""
TINY_SIGLIP: Final = "tiny_siglip"
"""Name of its twin as SigLIP."""
TINY_MODELS: Final[Mapping[str, str]] = {TINY_CLIP: "CLIP", TINY_SIGLIP: "SigLIP"}
"""Names of the models that come with the package, which know only the rendered world, and their architectures."""
_FOLDERS: Final = {TINY_CLIP: "tiny_clip", TINY_SIGLIP: "tiny_siglip"}


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
    return tiny_model_folder(TINY_CLIP)


def tiny_model_folder(name: str) -> Path:
    """Returns the folder, in HF format, of a tiny model for the rendered world.

    Args:
        name: One of `TINY_MODELS`.
    """
    return Path(str(files("ost_lightning"))) / "toyworld" / _FOLDERS[name]


def cache_folder() -> Path:
    """Returns the folder for generated files: `$OST_CACHE`, or `ost_lightning` in the user's cache folder."""
    if chosen := os.environ.get("OST_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ost_lightning"
