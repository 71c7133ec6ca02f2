"""Prompts that ask an LLM for descriptors of each kind."""

import json
import string
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import yaml

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped
from ost_lightning.text.generation.languages import language_name
from ost_lightning.vocabulary import SentenceKind

ENGLISH: Final = "en"
_LANGUAGE: Final = "{language}"
_SLOTS: Final = {
    "system": frozenset[str](),
    "spatio": frozenset({"name", "count"}),
    "temporal": frozenset({"name", "count"}),
    "again": frozenset({"problem"}),
}
_OPTIONAL_SLOTS: Final = {"rephrase": frozenset({"name", "count"})}


@dataclass(frozen=True, slots=True)
class Prompts:
    """Texts of one prompt file.

    Attributes:
        system: System message: role of the model and form of its answers.
        spatio: Request for Spatio Descriptors; slots `{name}` and `{count}`.
        temporal: Request for Temporal Descriptors; slots `{name}` and `{count}`.
        again: Addition to the request after an unusable answer; slot `{problem}`.
        rephrase: Request for other words for the class name; slots `{name}` and `{count}`. Empty if there is none.
        origin: Name of the file, for messages and provenance.
        language: Language of the answers, as it was given to `load`.
    """

    system: str
    spatio: str
    temporal: str
    again: str
    rephrase: str = ""
    origin: str = "given in code"
    language: str = ENGLISH

    def __post_init__(self) -> None:
        optional = _OPTIONAL_SLOTS if self.rephrase else {}
        for key, allowed in (_SLOTS | optional).items():
            try:
                slots = {slot for _, slot, _, _ in string.Formatter().parse(getattr(self, key)) if slot is not None}
            except ValueError as error:
                raise UserError(f"The prompt '{key}' ({self.origin}) has unmatched braces ({error}).") from error
            if slots != allowed:
                names = " and ".join(f"{{{slot}}}" for slot in sorted(allowed)) or "nothing"
                raise UserError(f"The prompt '{key}' ({self.origin}) must contain {names} in braces, and nothing else.")

    @classmethod
    def load(cls, name_or_file: str, language: str = ENGLISH) -> Self:
        """Reads shipped prompts by name (`ost`, `ranked`), or a YAML file with the same keys; `rephrase` is optional.

        Args:
            name_or_file: Name of shipped prompts, or path of a YAML file.
            language: Language of the descriptors, which replaces `{language}` in the system message: ISO 639-1 code or
                English name.

        Raises:
            UserError: If no prompts have that name, the file is malformed, or its system message has no `{language}`
                for a language other than English.
        """
        folder = shipped("prompts") / "descriptors"
        file = Path(name_or_file) if name_or_file.endswith((".yaml", ".yml")) else folder / f"{name_or_file}.yaml"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise UserError(f"There are no prompts '{name_or_file}'. Expected a YAML file or one of: {known}.")
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UserError(f"{file}:{line}: not valid YAML ({error.problem}).") from error
        if not isinstance(content, dict) or set(content) - set(_OPTIONAL_SLOTS) != set(_SLOTS):
            raise UserError(
                f"{file} must be a mapping with exactly the keys {', '.join(_SLOTS)}, and perhaps "
                f"{', '.join(_OPTIONAL_SLOTS)}."
            )
        if wrong := [key for key, text in content.items() if not isinstance(text, str) or not text.strip()]:
            raise UserError(f"{file}: '{wrong[0]}' must be a non-empty string.")
        texts = {key: text.strip() for key, text in content.items()}
        if language != ENGLISH and _LANGUAGE not in texts["system"]:
            raise UserError(
                f"{file}: 'system' has no {_LANGUAGE}, so it can't ask for descriptors in the language '{language}'. "
                "Add it, or remove --language and ask for the language in your own words."
            )
        texts["system"] = texts["system"].replace(_LANGUAGE, language_name(language))
        return cls(**texts, origin=file.stem, language=language)

    @property
    def digest(self) -> str:
        """Short hash of the texts that ask for descriptors, independent of the file's name."""
        return _hash([getattr(self, key) for key in _SLOTS])

    @property
    def rephrase_digest(self) -> str:
        """Short hash of the texts that ask for rephrased names."""
        return _hash([self.system, self.rephrase, self.again])

    def messages(
        self, kind: SentenceKind, name: str, count: int, *, as_json: bool, problem: str = ""
    ) -> list[dict[str, str]]:
        """Returns the messages of a request.

        Args:
            kind: Kind of descriptors to request; `name` for rephrased names.
            name: Class name.
            count: Number of texts to request.
            as_json: Whether the message asks for JSON; the schema is sent separately.
            problem: Reason why the last answer was unusable; empty for the first request.
        """
        prompts = {"name": self.rephrase, "spatio": self.spatio, "temporal": self.temporal}
        question = prompts[kind].format(name=name, count=count)
        form = 'As JSON: {"descriptors": [...]}.' if as_json else "One a line."
        addition = f"\n\n{self.again.format(problem=problem)}" if problem else ""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": f"{question}\n\n{form}{addition}"},
        ]


def _hash(texts: list[str]) -> str:
    return sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()[:16]
