"""Files with words of classes and of videos, for bags."""

import json
from pathlib import Path

from ost_lightning.errors import UserError
from ost_lightning.text.label_files import CLASSES, SELECTION
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.text.word_bags import are_texts, check_words, read_json_lines


def read_class_words(source: Path) -> dict[str, tuple[str, ...]]:
    """Reads words of classes.

    Args:
        source: Folder of a label space, whose descriptors of both kinds are the words; folder with one text file per
            class, named after it, of one word per line; or JSON file with an object of lists by class name.

    Raises:
        UserError: If there is no such file or folder, or it is malformed.
    """
    if source.is_dir():
        if (source / CLASSES).is_file() or (source / SELECTION).is_file():
            return _of_descriptors(LabelSpace.load(source))
        files = sorted(source.glob("*.txt"))
        if not files:
            raise UserError(f"{source} has no words: expected a label space with descriptors, or one .txt per class.")
        return {file.stem: _lines(file) for file in files}
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"The words of classes in {source} can't be read ({error}): expected JSON.") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f'{source}: expected an object of lists by class name, such as {{"archery": ["shoot"]}}.')
    return {name: check_words(words, f"{source}: the class '{name}'") for name, words in content.items()}


def read_video_words(file: Path) -> dict[str, tuple[str, ...]]:
    """Reads words of videos: JSON Lines with an `id`, and `words` or `captions`.

    Several lines of one video, such as one per frame, are joined.

    Raises:
        UserError: If a line is damaged, or has an empty word.
    """
    found: dict[str, list[str]] = {}
    for where, entry in read_json_lines(file):
        keys = set(entry) & {"words", "captions"}
        if not are_texts(entry.get("id")) or len(keys) != 1:
            raise UserError(f"{where}: expected an `id`, and either `words` or `captions`, a list of texts.")
        found.setdefault(entry["id"], []).extend(check_words(entry[keys.pop()], f"{where}: the video {entry['id']}"))
    if not found:
        raise UserError(f"{file} has no lines.")
    return {id_: tuple(dict.fromkeys(words)) for id_, words in found.items()}


def _of_descriptors(labels: LabelSpace) -> dict[str, tuple[str, ...]]:
    if not labels.descriptors:
        raise UserError(f"The label space {labels.origin} has no descriptors, which would be the words of its classes.")
    return {name: tuple(dict.fromkeys([*texts.spatio, *texts.temporal])) for name, texts in labels.descriptors.items()}


def _lines(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} can't be read as text in UTF-8 ({error}).") from error
    return tuple(" ".join(line.split()) for line in lines if line.strip())
