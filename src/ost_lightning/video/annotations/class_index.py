"""Class indices by name or number, as annotation files give them."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from ost_lightning.video.annotations.records import AnnotationError
from ost_lightning.vocabulary import counted

_NEAREST: Final = 2
"""Number of folders above a video that may be named after its class; farther ones belong to the computer."""


class ClassIndex:
    """Class indices by name; an annotation file may use the names of the label space or the publisher's spelling.

    Args:
        names: Class names of the label space.
        published: The publisher's spelling of each name, if it differs.

    Raises:
        AnnotationError: If the name of one class is the publisher's spelling of another.
    """

    def __init__(self, names: Sequence[str], published: Sequence[str] = ()) -> None:
        self.names, self.published = tuple(names), tuple(published) or tuple(names)
        self.index_of = {name: index for index, name in enumerate(self.names)}
        for index, name in enumerate(self.published):
            if self.index_of.setdefault(name, index) != index:
                raise AnnotationError(
                    f"'{name}' is the name of class {self.index_of[name]} and the publisher's spelling of class "
                    f"{index}: a file that says '{name}' could mean either. Rename one in the label space."
                )

    def __len__(self) -> int:
        return len(self.names)

    def named(self, name: str, where: str) -> int:
        """Returns the index of a class name, in either spelling.

        Args:
            name: Class name.
            where: Place in the annotation file, for error messages.

        Raises:
            AnnotationError: If no class has this name.
        """
        index = self.index_of.get(name)
        if index is None:
            raise AnnotationError(
                f"{where}: '{name}' is not one of the {len(self)} classes of the label space.{self._suggestion(name)} "
                f"Check that the file and the label space belong together."
            )
        return index

    def numbered(self, text: str, where: str, first: int = 0) -> int:
        """Returns the index of a class number.

        Args:
            text: Decimal digits.
            where: Place in the annotation file, for error messages.
            first: Number of the first class.

        Raises:
            AnnotationError: If the text is not the number of a class.
        """
        last = first + len(self) - 1
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise AnnotationError(
                f"{where}: the label '{text}' is not a class index. Expected a label from {first} to {last}."
            )
        if not first <= int(text) <= last:
            advice = "Check that the list and the label space belong together."
            if first == 0 and int(text) == last + 1:
                advice += " If the list, or part of it, numbers the classes from 1, subtract 1 there."
            raise AnnotationError(
                f"{where}: the label {int(text)} is outside the label space, which has "
                f"{counted(len(self), 'class', 'classes')} ({first} to {last}). {advice}"
            )
        return int(text) - first

    def written(self, text: str, where: str) -> int:
        """Returns the index of a class number or, if the text is not a number, of a class name.

        Args:
            text: Decimal digits or class name.
            where: Place in the annotation file, for error messages.

        Raises:
            AnnotationError: If the text is neither, or the number of one class is the name of another.
        """
        named = self.index_of.get(text)
        if not (text.isascii() and text.isdigit()):
            if named is None:
                raise self._unknown(text, where)
            return named
        if named is None or named == int(text):
            return self.numbered(text, where)
        if int(text) >= len(self):
            return named
        raise AnnotationError(
            f"{where}: the label {text} is the number of '{self.names[int(text)]}' and the name of class {named}. Use "
            "a table (.csv), in which names take precedence."
        )

    def either(self, text: str, where: str) -> int:
        """Returns the index of a class name or, if no class has that name, of a class number.

        Args:
            text: Class name or decimal digits.
            where: Place in the annotation file, for error messages.

        Raises:
            AnnotationError: If the text is neither.
        """
        if text in self.index_of:
            return self.index_of[text]
        number = text.removesuffix(".0")  # pandas writes labels so if one is missing
        if number.isascii() and number.isdigit():
            return self.numbered(number, where)
        raise self._unknown(text, where)

    def _unknown(self, text: str, where: str) -> AnnotationError:
        return AnnotationError(
            f"{where}: the label '{text}' is neither a class name of the label space nor an index from 0 to "
            f"{len(self) - 1}.{self._suggestion(text)}"
        )

    def _suggestion(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.index_of, n=1)
        return f" Did you mean '{close[0]}'?" if close else ""


class ClassFolders:
    """Classes that the folders of videos are named after, as in `val/playing_guitar/x.mp4`.

    Args:
        names: Class names; folders may have other capitals and separators.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {plain_name(name): name for name in names}
        self._known: dict[str, str | None] = {}

    def class_of(self, path: str) -> str | None:
        """Returns the class that the folder of a video names; None if it names no class."""
        folder = path.replace("\\", "/").rpartition("/")[0]
        if folder not in self._known:
            nearest = map(plain_name, folder.split("/")[: -_NEAREST - 1 : -1])
            self._known[folder] = next((self._names[name] for name in nearest if name in self._names), None)
        return self._known[folder]


def plain_name(name: str) -> str:
    """Returns a class name without what spellings of it differ in: `ApplyEyeMakeup` and `apply_eye_makeup`."""
    return "".join(character for character in name.casefold() if character.isalnum())
