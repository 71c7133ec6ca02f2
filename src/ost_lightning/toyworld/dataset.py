"""The rendered world as a data set on disk: .mp4 files, `path label` lists and label spaces, like real data sets."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.resources import cache_folder
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import DRAWS, ActionClass, Group, draw_classes

Split = Literal["train", "test"]
_RENDERING: Final = ("vocabulary", "canvas", "scenery", "props", "poses", "scene", "wording", "grammar", "clips")
_LIST: Final = "videos.txt"


@dataclass(frozen=True, slots=True)
class RenderedPart:
    """Part of the rendered world: the videos of one group of classes and one split.

    Attributes:
        draw: Number of the draw of classes, 0 to 4.
        group: Group of classes: seen, unseen or order.
        split: Split, train or test, which have no videos in common.
        clips_per_class: Number of videos per class.
    """

    draw: int
    group: Group
    split: Split
    clips_per_class: int

    def __post_init__(self) -> None:
        if not 0 <= self.draw < DRAWS or self.clips_per_class < 1:
            raise UserError(
                f"The rendered world has no draw {self.draw} with {self.clips_per_class} videos per class: choose a "
                f"draw from 0 to {DRAWS - 1} and at least one video."
            )

    @property
    def folder(self) -> Path:
        """Folder of the part; its name depends on the rendering code, so that a change of it is rendered again."""
        return (
            cache_folder()
            / f"toyworld-{rendering_version()}"
            / f"draw{self.draw}-{self.group}-{self.split}-{self.clips_per_class}"
        )

    @property
    def list_file(self) -> Path:
        """Path of the `path label` list."""
        return self.folder / _LIST


@cache
def rendering_version() -> str:
    """Returns a digest of the code that renders, which names of folders contain."""
    digest = blake2b(digest_size=5)
    for module in _RENDERING:
        digest.update((files("ost_lightning.toyworld") / f"{module}.py").read_bytes())
    return digest.hexdigest()


def label_space(draw: int, group: Group) -> LabelSpace:
    """Returns the classes of a group with the descriptors that the grammar gives them."""
    actions = draw_classes(draw)[group]
    return LabelSpace(
        names=tuple(action.name for action in actions),
        descriptors={action.name: Descriptors(action.spatio, action.temporal) for action in actions},
        source=f"rendered world, draw {draw}, {group} classes",
        provenance={"source": "grammar of the rendered world"},
        origin=f"toyworld draw {draw} {group}",
    )


def render_part(part: RenderedPart, workers: int | None = None) -> Path:
    """Renders a part unless it exists.

    The folder appears only once it is complete, even if several processes render it at the same time.

    Args:
        part: Part to render.
        workers: Number of processes; None for one per core.

    Returns:
        Folder with .mp4 files, the list, and the label space.
    """
    if part.list_file.is_file():
        return part.folder
    try:
        with atomic_write(part.folder) as partial:
            partial.mkdir()
            _render_into(partial, part, workers or os.cpu_count() or 1)
    except OSError:
        if not part.list_file.is_file():
            raise  # otherwise another process has rendered it in the meantime
    return part.folder


def _render_into(folder: Path, part: RenderedPart, workers: int) -> None:
    labels = label_space(part.draw, part.group)
    actions = draw_classes(part.draw)[part.group]
    names = [f"{action.name.replace(' ', '_')}_{k:03d}.mp4" for action in actions for k in range(part.clips_per_class)]
    jobs = [action for action in actions for _ in range(part.clips_per_class)]
    seeds = [f"{part.draw}/{part.group}/{part.split}/{name}" for name in names]
    paths = [folder / name for name in names]
    with ProcessPoolExecutor(workers) as pool:
        done = pool.map(_render_clip, jobs, seeds, paths, chunksize=8)
        title = f"render {part.group} classes, {part.split} videos"
        for _ in tqdm(done, total=len(jobs), desc=title, unit="video"):
            pass
    labels.save(folder)
    label_of = {name: index for index, name in enumerate(labels.names)}
    lines = [f"{name} {label_of[action.name]}\n" for name, action in zip(names, jobs, strict=True)]
    (folder / _LIST).write_text("".join(lines), encoding="utf-8")


def _render_clip(action: ActionClass, seed: str, path: Path) -> None:
    write_mp4(path, render_clip(action, seed))
