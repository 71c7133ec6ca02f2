"""Bags of words for videos without labels: what their actions may be called (MAXI; Lin et al., ICCV 2023).

A file of bags is JSON Lines. The first line has the words of classes and where everything came from, each other line a
video::

    {"word_bags": 1, "classes": {"archery": ["shoot", "aiming a bow"]}, "sources": {"match": {"labels": "kinetics400"}}}
    {"id": "clips/a.mp4", "name": "archery", "cosine": 0.31, "words": ["draw"], "kept": true}

`name` is the class that a model found to fit best. `words`, `cosine` and `kept` are optional; videos that are not kept
are not for training.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.vocabulary import counted

FORMAT: Final = 1
_HEADER: Final = "word_bags"
_VIDEO_KEYS: Final = frozenset({"id", "name", "cosine", "words", "kept"})


@dataclass(frozen=True, slots=True)
class VideoBag:
    """Best class of a video and its own words.

    Attributes:
        name: Class name that fits best.
        words: Words of the video itself, such as verbs of captions.
        cosine: Similarity of the video and the name, -1 to 1; None if unknown.
        kept: Whether the video is for training.
    """

    name: str
    words: tuple[str, ...] = ()
    cosine: float | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class WordBags:
    """Words of classes and of videos.

    Attributes:
        videos: Best class and words by id of the video.
        classes: Words by class name.
        sources: Description of where names and words came from.
        origin: File, for messages.
    """

    videos: Mapping[str, VideoBag]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "given in code"

    def __post_init__(self) -> None:
        if not self.videos:
            raise UserError(f"{self.origin} has no videos: every line but the first is one.")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads a file of bags.

        Raises:
            UserError: If the file is missing, or a line is damaged, has an empty word, or repeats a video.
        """
        if not file.is_file():
            raise UserError(f"There are no bags of words at {file}: `ost bags match` writes them.")
        lines = read_json_lines(file)
        where, header = next(lines, (f"{file}:1", {}))
        sources = header.get("sources", {})
        if header.get(_HEADER) != FORMAT or not all(
            isinstance(part, dict) for part in (header.get("classes"), sources)
        ):
            raise UserError(
                f'{where}: expected {{"{_HEADER}": {FORMAT}, "classes": {{...}}, "sources": {{...}}}} as the first '
                "line of a file of bags, as `ost bags match` writes it."
            )
        classes = {
            name: check_words(words, f"{where}: the class '{name}'") for name, words in header["classes"].items()
        }
        videos: dict[str, VideoBag] = {}
        for where, entry in lines:
            if not set(entry) <= _VIDEO_KEYS or not are_texts(entry.get("id"), entry.get("name")):
                raise UserError(f"{where}: expected an `id`, a `name` and perhaps cosine, words and kept.")
            cosine, kept = entry.get("cosine"), entry.get("kept", True)
            if not isinstance(kept, bool) or not (cosine is None or _is_number(cosine)):
                raise UserError(
                    f"{where}: `kept` is {json.dumps(kept)} and `cosine` is {json.dumps(cosine)}: expected true or "
                    "false, and a number."
                )
            if entry["id"] in videos:
                raise UserError(f"{where}: the video {entry['id']} has a bag already. Remove one of the lines.")
            words = check_words(entry.get("words", []), f"{where}: the video {entry['id']}")
            videos[entry["id"]] = VideoBag(entry["name"], words, cosine, kept)
        return cls(videos, classes, sources, str(file))

    def save(self, file: Path) -> None:
        """Writes a file of bags."""
        header = {_HEADER: FORMAT, "classes": dict(self.classes), "sources": dict(self.sources)}
        lines = [header, *({"id": id_, **asdict(bag)} for id_, bag in self.videos.items())]
        write_text_atomically(file, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))

    @property
    def digest(self) -> str:
        """Digest of names and words, 16 hexadecimal digits."""
        videos = sorted((id_, bag.name, bag.words, bag.kept) for id_, bag in self.videos.items())
        content = json.dumps([sorted(self.classes.items()), videos])
        return blake2b(content.encode(), digest_size=8).hexdigest()

    def words(self, id_: str) -> tuple[str, ...]:
        """Returns the bag of a video: words of its class, then its own, each once, without the class name."""
        bag = self.videos[id_]
        words = dict.fromkeys([*self.classes.get(bag.name, ()), *bag.words])
        return tuple(word for word in words if word.casefold() != bag.name.casefold())

    def draw(self, id_: str, count: int) -> tuple[str, ...] | None:
        """Draws from the bag of a video, with torch's global generator.

        The whole bag is repeated as often as it fits, and the rest is drawn without replacement.

        Args:
            id_: Id of the video.
            count: Number of words to draw.

        Returns:
            The words; None if the bag is empty.
        """
        import torch  # takes a second, and only training draws

        words = self.words(id_)
        if not words:
            return None
        rest = torch.randperm(len(words))[: count % len(words)].tolist()
        return (*words * (count // len(words)), *(words[index] for index in rest))

    def add_class_words(self, words: Mapping[str, Sequence[str]], source: str) -> Self:
        """Returns the bags with other words of classes.

        Args:
            words: Words by class name.
            source: Name of where they came from.

        Raises:
            UserError: If no video has one of the classes.
        """
        used = {bag.name for bag in self.videos.values()}
        if not used & words.keys():
            raise UserError(
                f"{source} has words for {counted(len(words), 'class', 'classes')} (first: "
                f"'{next(iter(words), '')}'), but none of them is the class of a video in {self.origin}."
            )
        classes = {name: check_words(words[name], f"{source}: the class '{name}'") for name in words if name in used}
        return replace(self, classes=classes, sources={**self.sources, "classes": source})

    def add_video_words(self, words: Mapping[str, Sequence[str]], source: str) -> Self:
        """Returns the bags with other words of videos.

        Args:
            words: Words by id of the video.
            source: Name of where they came from.

        Raises:
            UserError: If an id is unknown.
        """
        if unknown := [id_ for id_ in words if id_ not in self.videos]:
            raise UserError(
                f"{source} has words for {counted(len(unknown), 'video')} that {self.origin} doesn't have (first: "
                f"{unknown[0]}; its own first is {next(iter(self.videos))}). Ids are those of the matched list."
            )
        videos = {id_: replace(bag, words=tuple(words.get(id_, ()))) for id_, bag in self.videos.items()}
        return replace(self, videos=videos, sources={**self.sources, "videos": source})

    def check(self, ids: Sequence[str], names: Sequence[str]) -> None:
        """Checks that the bags are those of a training set.

        Args:
            ids: Ids of the training videos.
            names: Names of the classes of the training set.

        Raises:
            UserError: If a video has no bag or was not kept, a bag has no video, or a class is unknown.
        """
        known, training = set(names), set(ids)
        missing = [id_ for id_ in ids if id_ not in self.videos]
        dropped = [id_ for id_ in ids if id_ in self.videos and not self.videos[id_].kept]
        strange = [id_ for id_, bag in self.videos.items() if bag.kept and id_ not in training]
        for found, problem, remedy in (
            (missing, "training videos without a bag", "match the videos of this list"),
            (dropped, "training videos that the filter dropped", "train on the list that `ost bags match` wrote"),
            (strange, "bags of videos that the training list doesn't have", "match the videos of this list"),
        ):
            if found:
                raise UserError(f"{self.origin}: {len(found):,} {problem} (first: {found[0]}): {remedy}.")
        for name in dict.fromkeys([*self.classes, *(bag.name for bag in self.videos.values())]):
            if name not in known:
                raise UserError(
                    f"{self.origin} has the class '{name}', but the label space of the training videos does not: "
                    "train with the label space that the videos were matched with."
                )

    def empty(self) -> list[str]:
        """Returns the ids of the videos for training whose bag is empty."""
        return [id_ for id_, bag in self.videos.items() if bag.kept and not self.words(id_)]


def read_json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the objects of a file of JSON Lines, each with its place.

    Raises:
        UserError: If the file is missing, or a line is not an object.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} can't be read as text in UTF-8 ({error}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise UserError(f"{file}:{number}: not valid JSON ({error}).") from error
        if not isinstance(entry, dict):
            raise UserError(f"{file}:{number}: expected an object in braces.")
        yield f"{file}:{number}", entry


def check_words(words: object, where: str) -> tuple[str, ...]:
    """Returns words without surrounding blanks.

    Args:
        words: List of words.
        where: Place of the words, for messages.

    Raises:
        UserError: If they are not a list of texts, or one of them is empty.
    """
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise UserError(f'{where} has no list of texts as its words: expected for example ["throw", "catching"].')
    if any(not word.strip() for word in words):
        raise UserError(f"{where} has an empty word. Remove it.")
    return tuple(" ".join(word.split()) for word in words)


def are_texts(*values: object) -> bool:
    """Returns whether all values are texts that are not empty."""
    return all(isinstance(value, str) and value for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
