"""The rendered world as a data set on disk: .mp4 files, `path label` lists and label spaces, like real data sets."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Final, Literal

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.resources import cache_folder
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.difficulty import DIFFICULTIES, Difficulty
from ost_lightning.toyworld.flaws import flawed
from ost_lightning.toyworld.grammar import DRAWS, ActionClass, Group, draw_classes
from ost_lightning.toyworld.wording import spatio_descriptors, temporal_descriptors

Split = Literal["train", "test"]
_RENDERING: Final = (
    *("vocabulary", "canvas", "scenery", "props", "poses", "scene", "wording"),
    *("difficulty", "grammar", "flaws", "clips"),
)
_LIST: Final = "videos.txt"
_CLEAN: Final = "clean"


@dataclass(frozen=True, slots=True)
class RenderedPart:
    """Part of the rendered world: the videos of one group of classes and one split.

    Attributes:
        draw: Number of the draw of classes, 0 to 4.
        group: Group of classes: seen, unseen or order.
        split: Split, train or test, which have no videos in common.
        clips_per_class: Number of videos per class.
        difficulty: Setting of the world.
    """

    draw: int
    group: Group
    split: Split
    clips_per_class: int
    difficulty: Difficulty = "standard"

    def __post_init__(self) -> None:
        if not 0 <= self.draw < DRAWS or self.clips_per_class < 1:
            raise UserError(
                f"The rendered world has no draw {self.draw} with {self.clips_per_class} videos per class: choose a "
                f"draw from 0 to {DRAWS - 1} and at least one video."
            )

    @property
    def folder(self) -> Path:
        """Folder of the part; its name depends on the rendering code, so that a change of it is rendered again."""
        name = f"draw{self.draw}-{self.group}-{self.split}-{self.clips_per_class}"
        if self.difficulty != "standard":
            name = f"{self.difficulty}-{name}"
        return cache_folder() / f"toyworld-{rendering_version()}" / name

    @property
    def list_file(self) -> Path:
        """Path of the `path label` list."""
        return self.folder / _LIST

    def label_folder(self, clean: bool = False) -> Path:
        """Folder of the label space, whose descriptors have the flaws of the setting unless `clean`."""
        return self.folder / _CLEAN if clean and DIFFICULTIES[self.difficulty].flawed_descriptors else self.folder


@cache
def rendering_version() -> str:
    """Returns a digest of the code that renders, which names of folders contain."""
    digest = blake2b(digest_size=5)
    for module in _RENDERING:
        digest.update((files("ost_lightning.toyworld") / f"{module}.py").read_bytes())
    return digest.hexdigest()


def label_space(
    draw: int, group: Group, difficulty: Difficulty = "standard", clean: bool = False, draft: int = 0
) -> LabelSpace:
    """Returns the classes of a group with the descriptors that the grammar gives them.

    Args:
        draw: Draw of classes, 0 to 4.
        group: Group of classes.
        difficulty: Setting of the world; descriptors of the hard one have a language model's flaws.
        clean: Whether descriptors are without these flaws.
        draft: Number of the draft of the descriptors, 0 for the one on disk; every draft has a wording and flaws of its
            own.
    """
    actions, world, provenance = (
        draw_classes(draw, difficulty)[group],
        "rendered world",
        "grammar of the rendered world",
    )
    if difficulty != "standard":
        world = f"{world} ({difficulty})"
    if draft:
        rng = Random(f"toyworld draft {difficulty} {draw} {group} {draft}")
        actions = tuple(_reworded(action, rng) for action in actions)
        provenance = f"{provenance}, draft {draft}"
    if DIFFICULTIES[difficulty].flawed_descriptors and not clean:
        actions = flawed(actions, f"toyworld flaws {difficulty} {draw} {group}" + (f" {draft}" if draft else ""))
        provenance = f"{provenance}, with a language model's flaws"
    return LabelSpace(
        names=tuple(action.name for action in actions),
        descriptors={action.name: Descriptors(action.spatio, action.temporal) for action in actions},
        source=f"{world}, draw {draw}, {group} classes",
        provenance={"source": provenance},
        origin=" ".join(["toyworld", *(() if difficulty == "standard" else (difficulty,)), f"draw {draw} {group}"]),
    )


def _reworded(action: ActionClass, rng: Random) -> ActionClass:
    return replace(
        action,
        spatio=spatio_descriptors(action.appearance, rng),
        temporal=temporal_descriptors(action.steps, action.appearance.prop, rng),
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
        with atomic_write(part.folder) as incomplete:
            incomplete.mkdir()
            _render_into(incomplete, part, workers or os.cpu_count() or 1)
    except OSError:
        if not part.list_file.is_file():
            raise  # otherwise another process has rendered it in the meantime
    return part.folder


def _render_into(folder: Path, part: RenderedPart, workers: int) -> None:
    labels = label_space(part.draw, part.group, part.difficulty)
    actions = draw_classes(part.draw, part.difficulty)[part.group]
    names = [f"{action.name.replace(' ', '_')}_{k:03d}.mp4" for action in actions for k in range(part.clips_per_class)]
    jobs = [action for action in actions for _ in range(part.clips_per_class)]
    world = "" if part.difficulty == "standard" else f"{part.difficulty}/"
    seeds = [f"{world}{part.draw}/{part.group}/{part.split}/{name}" for name in names]
    paths = [folder / name for name in names]
    with ProcessPoolExecutor(workers) as pool:
        done = pool.map(partial(_render_clip, part.difficulty), jobs, seeds, paths, chunksize=8)
        title = f"render {part.group} classes, {part.split} videos"
        for _ in tqdm(done, total=len(jobs), desc=title, unit="video"):
            pass
    labels.save(folder)
    if DIFFICULTIES[part.difficulty].flawed_descriptors:
        (folder / _CLEAN).mkdir()
        label_space(part.draw, part.group, part.difficulty, clean=True).save(folder / _CLEAN)
    label_of = {name: index for index, name in enumerate(labels.names)}
    lines = [f"{name} {label_of[action.name]}\n" for name, action in zip(names, jobs, strict=True)]
    (folder / _LIST).write_text("".join(lines), encoding="utf-8")


def _render_clip(difficulty: Difficulty, action: ActionClass, seed: str, path: Path) -> None:
    write_mp4(path, render_clip(action, seed, difficulty))
