"""Rendered videos with which an app shows something on a machine that has none, and a library of them."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ost_lightning.files import atomic_write
from ost_lightning.library import Library
from ost_lightning.recognition import Recognizer
from ost_lightning.resources import cache_folder
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import rendering_version
from ost_lightning.toyworld.long_videos import LongVideoClasses, write_long_video

_DRAW: Final = 0
_ACTIONS: Final = 6
"""Actions that are shown, each in a clip of its own; the first ones also in the long video."""
_CLIPS: Final = 2
_LONG: Final = 4


@dataclass(frozen=True, slots=True)
class Examples:
    """Rendered videos.

    Attributes:
        folder: Folder of the videos.
        videos: Videos by title, the long one last.
        labels: Classes of the rendered world that the videos are from, with descriptors.
    """

    folder: Path
    videos: dict[str, Path]
    labels: LabelSpace

    @classmethod
    def render(cls) -> "Examples":
        """Renders the videos into the cache in a few seconds, unless they are there."""
        classes = LongVideoClasses.of(_DRAW, "unseen")
        folder = cache_folder() / f"app-examples-{rendering_version()}"
        if not folder.is_dir():
            try:
                with atomic_write(folder) as partial:
                    partial.mkdir()
                    _render(partial, classes)
            except OSError:
                if not folder.is_dir():
                    raise  # otherwise another process has rendered it in the meantime
        shown = [action.name for action in classes.listed[:_LONG]]
        videos = {name: folder / f"{name} 0.mp4" for name in shown}
        videos[f"{len(shown)} actions, one after the other"] = folder / "long.mp4"
        return cls(folder, videos, classes.labels)

    def library(self, recognizer: Recognizer) -> Path | None:
        """Returns the folder of a library of all videos, which is indexed if it is not there; None without Lance.

        Args:
            recognizer: Recognizer with the weights that the videos are embedded with.
        """
        if find_spec("lance") is None:
            return None
        folder = self.folder.with_name(f"{self.folder.name}-{recognizer.conditions()['digest']}-library")
        Library.open(folder, create=True).index(sorted(self.folder.glob("*.mp4")), recognizer)
        return folder


def _render(folder: Path, classes: LongVideoClasses) -> None:
    for action in classes.listed[:_ACTIONS]:
        for number in range(_CLIPS):
            write_mp4(folder / f"{action.name} {number}.mp4", render_clip(action, f"app {action.name} {number}"))
    write_long_video(folder / "long.mp4", classes, classes.listed[:_LONG], "app")
