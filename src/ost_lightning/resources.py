"""Where the files that come with the package are: `data/`, `prompts/`, `experiments/` and the tiny CLIP."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

ResourceFolder = Literal["data", "prompts", "experiments"]

TINY_CLIP: Final = "tiny"
"""Name of the CLIP that comes with the package, wherever a hub id or folder is asked for."""


def shipped(kind: ResourceFolder) -> Path:
    """A folder that comes with the package: inside it once installed, at the top of the tree in a checkout.

    Raises:
        FileNotFoundError: If the installation is incomplete.
    """
    package = Path(str(files("ost_lightning")))
    for folder in (package / kind, package.parents[1] / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the installation of ost_lightning lacks its folder '{kind}': install it again")


def tiny_clip_folder() -> Path:
    """The HF folder of the tiny CLIP that belongs to the rendered world."""
    return Path(str(files("ost_lightning"))) / "toyworld" / "tiny_clip"


def cache_folder() -> Path:
    """Where generated files are kept: `$OST_CACHE`, or `ost_lightning` in the user's cache folder."""
    if chosen := os.environ.get("OST_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ost_lightning"
