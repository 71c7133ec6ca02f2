"""Making of a project: classes, parts that share no recording, lists, and an experiment file."""

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ost_lightning.datamodules.own.class_folders import videos_below
from ost_lightning.errors import UserError
from ost_lightning.files import is_utf8, write_text_atomically
from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace
from ost_lightning.text.label_files import CLASSES, subfolders
from ost_lightning.tools.options import output_folder
from ost_lightning.video.annotations import ClassIndex
from ost_lightning.video.annotations.any_list import ListedVideo, write_list
from ost_lightning.video.annotations.source_videos import source_in_name
from ost_lightning.video.annotations.split import split_by_source
from ost_lightning.vocabulary import Part, counted

_PARTS: Final[tuple[Part, ...]] = ("train", "val", "test")
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Video:
    path: str
    """Path below the folder of the project."""
    folder: str
    """Name of the class folder."""
    part: Part
    source: str
    """Recording that the video belongs to; unique if nothing is known."""
    known_source: bool
    """Whether the name of the video says which recording it belongs to."""


def create_project(
    root: Path, output: Path, val: float, test: float, source: str | None, seed: int, pretrained: str
) -> str:
    """Writes classes.txt, the lists and the experiment; see `ost new`.

    Returns:
        Summary of what was found and written, and the commands that come next.

    Raises:
        UserError: If the folder has no classes, a class has no videos, or a file would be overwritten.
    """
    _check_shares(val, test)
    if not root.is_dir():
        raise UserError(f"The folder {root} does not exist. Expected a folder with one subfolder per class.")
    experiment = output_folder(output) / f"{root.resolve().name}.yaml"
    files = [*(output / f"{part}.txt" for part in _PARTS), experiment]
    if existing := [file for file in files if file.exists()]:
        raise UserError(f"{existing[0]} exists already. Remove it, or choose another --output.")
    skipped: list[str] = []
    videos = _find(root, _pattern(source), skipped)
    labels = _classes(videos, output)
    index = ClassIndex(labels.names, labels.published)
    videos = _draw(videos, {"test": test, "val": val}, seed)
    labels.save(output)
    for part in _PARTS:
        listed = [ListedVideo(video.path, str(index.index_of[video.folder])) for video in videos if video.part == part]
        if listed:
            write_list(listed, output / f"{part}.txt")
    write_text_atomically(experiment, _experiment(root, output, pretrained))
    return "\n".join([*_summary(videos, labels, skipped, output), "", *_next(root, output, experiment)])


def _check_shares(val: float, test: float) -> None:
    if not (0 <= val < 1 and 0 < test < 1 and val + test < 1):
        raise UserError(
            f"--val is {val:g} and --test is {test:g}: expected shares of the videos between 0 and 1 that leave some "
            "for training."
        )


def _pattern(source: str | None) -> re.Pattern[str] | None:
    if source is None:
        return None
    try:
        pattern = re.compile(source)
    except re.error as error:
        raise UserError(f"--source is not a regular expression ({error}): '{source}'.") from error
    if not pattern.groups:
        raise UserError(f"--source '{source}' has no group: expected parentheses around the name of the recording.")
    return pattern


def _find(root: Path, pattern: re.Pattern[str] | None, skipped: list[str]) -> list[_Video]:
    """Finds the videos of all class folders.

    Raises:
        UserError: If there are no class folders, or one has no videos.
    """
    parts = [part for part in _PARTS if (root / part).is_dir() and subfolders(root / part)]
    if parts and "train" not in parts:
        raise UserError(f"{root} has a folder {parts[0]}, but no folder train with a subfolder per class.")
    places: list[tuple[Part, str]] = [(part, f"{part}/") for part in parts] or [("train", "")]
    found: list[_Video] = []
    empty: list[str] = []
    for part, place in places:
        for folder in subfolders(root / place):
            if not is_utf8(folder):
                raise UserError(
                    f"{root}: {os.fsencode(folder)!r} is not UTF-8 and no name of a class. Rename the folder."
                )
            inside: list[str] = []
            paths = [f"{place}{folder}/{path}" for path in videos_below(root / place / folder, inside)]
            skipped += [f"{place}{folder}/{path}" for path in inside]
            empty += [] if paths else [f"{place}{folder}"]
            for path in paths:
                if path != path.strip() or "\n" in path or "\r" in path:
                    raise UserError(f"{root}: a list can't contain the name {path!r}. Rename the file or folder.")
                name = _source(path, pattern)
                found.append(_Video(path, folder, part, name or path, name is not None))
    if not found:
        loose = sum(1 for _ in videos_below(root, []))
        what = f"{loose:,} videos, but no subfolders with videos" if loose else "no videos"
        raise UserError(f"{root} contains {what}. Expected one subfolder per class, each with the videos of the class.")
    if empty:
        others = f" (found other files, such as {skipped[0]})" if skipped else ""
        raise UserError(f"{root}: classes without videos: {_first(empty)}{others}. Add videos, or remove the folders.")
    return _without_common_names(found)


def _source(path: str, pattern: re.Pattern[str] | None) -> str | None:
    if pattern is None:
        return source_in_name(path)
    match = pattern.fullmatch(PurePosixPath(path).stem)
    return match[1] if match else None


def _without_common_names(videos: Sequence[_Video]) -> list[_Video]:
    """Separates sources by class whose name is in most classes: `video_part1` tells nothing about other classes."""
    classes: dict[str, set[str]] = {}
    for video in videos:
        classes.setdefault(video.source, set()).add(video.folder)
    limit = max(2, len({video.folder for video in videos}) // 2)
    return [
        _Video(video.path, video.folder, video.part, f"{video.folder}/{video.source}", video.known_source)
        if video.known_source and len(classes[video.source]) > limit
        else video
        for video in videos
    ]


def _classes(videos: Sequence[_Video], output: Path) -> LabelSpace:
    """Returns the classes of an existing classes.txt, or those that the folders are named after.

    Raises:
        UserError: If two folders have the same class, or classes.txt lacks one.
    """
    folders = sorted({video.folder for video in videos})
    if (output / CLASSES).is_file():
        labels = LabelSpace.load(output)
        known = {*labels.names, *labels.published}
        if missing := [folder for folder in folders if folder not in known]:
            raise UserError(
                f"{output / CLASSES} exists already, but has no class for the folder '{missing[0]}'. Add a line with "
                "the class, a tab and the name of the folder; or remove the file, and a new one is written."
            )
        return labels
    by_name: dict[str, str] = {}
    for folder in folders:
        name = " ".join(folder.replace("_", " ").split())
        if not name or by_name.setdefault(name, folder) != folder:
            raise UserError(f"The folders '{by_name.get(name, '')}' and '{folder}' have the same class name '{name}'.")
    return LabelSpace(tuple(by_name), source="Names of folders.", published=tuple(by_name.values()))


def _draw(videos: Sequence[_Video], shares: Mapping[Part, float], seed: int) -> list[_Video]:
    """Draws the parts that have no folder from the training videos."""
    given = {video.part for video in videos} - {"train"}
    drawn = {part: share for part, share in shares.items() if part not in given}
    training = [video for video in videos if video.part == "train"]
    parts = split_by_source([(video.folder, video.source) for video in training], drawn, seed)
    moved = [
        _Video(video.path, video.folder, part, video.source, video.known_source)
        for video, part in zip(training, parts, strict=True)
    ]
    return [*moved, *(video for video in videos if video.part != "train")]


def _experiment(root: Path, output: Path, pretrained: str) -> str:
    """Returns the experiment `own_videos` for this folder."""
    lines = (shipped("experiments") / "own_videos.yaml").read_text(encoding="utf-8").splitlines()
    folder, lists = root.resolve(), output.resolve()
    weights = str(Path(pretrained).resolve()) if Path(pretrained).is_dir() else pretrained
    values = {"root": str(folder), "pretrained": weights}
    if lists != folder:
        values |= {f"list: {part}.txt": str(lists / f"{part}.txt") for part in _PARTS}
    result = [f"# Made by `ost new {shlex.quote(str(root))}`, from the experiment own_videos."]
    for line in lines[next(number for number, line in enumerate(lines) if not line.startswith("#")) :]:
        key, _, value = line.strip().partition(": ")
        wanted = values.get(key) or values.get(f"{key}: {value}")
        indent = line[: len(line) - len(line.lstrip())]
        result.append(f"{indent}{key}: {json.dumps(wanted)}" if wanted else line)
        if key == "list" and lists != folder:
            result.append(f"{indent}labels: {json.dumps(str(lists))}")
    return "\n".join(result) + "\n"


def _summary(videos: Sequence[_Video], labels: LabelSpace, skipped: Sequence[str], output: Path) -> list[str]:
    counts = Counter(video.part for video in videos)
    parts = ", ".join(f"{part} {counts[part]:,}" for part in _PARTS if counts[part])
    sources = len({video.source for video in videos})
    lines = [f"{output}: {counted(len(labels), 'class', 'classes')}, {counted(len(videos), 'video')} ({parts})"]
    if any(video.known_source for video in videos):
        lines.append(f"{sources:,} recordings, as far as the names tell; none is in two of the drawn parts.")
    else:
        lines.append("No name tells which videos are clips of one recording. If some are, set --source.")
    for part in ("train", "test"):
        if missing := sorted({video.folder for video in videos} - {one.folder for one in videos if one.part == part}):
            lines.append(f"Classes without videos in {part}, which have too few recordings: {_first(missing)}.")
    if skipped:
        lines.append(f"Files that are no videos: {_first(skipped)}.")
    return lines


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _next(root: Path, output: Path, experiment: Path) -> list[str]:
    config, labels = shlex.quote(str(experiment)), shlex.quote(str(output))
    commands = {
        f"ost data check --list {shlex.quote(str(output / 'train.txt'))} --root {shlex.quote(str(root))}": "files",
        f"ost test --config {config} --model.matcher CategoryName": "by the names of the classes alone",
        f"ost descriptors generate --label_space {labels} --output {labels}": "an LLM describes the classes",
        f"ost test --config {config}": "by the descriptions, without training",
        f"ost fit --config {config}": "fine-tunes",
        f"ost test --config {config} --ckpt_path last": "what that brought",
    }
    width = max(map(len, commands))
    return ["Next:", *(f"  {command:<{width}}  # {what}" for command, what in commands.items())]
