"""Settings of a generation: sampling, limits and token usage."""

from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.vocabulary import SentenceKind

_MINIMUM: Final = {"concurrency": 1, "timeout": 0.001, "retries": 0, "attempts": 1, "max_words": 1}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings that determine an answer; answers under different settings are never mixed.

    Attributes:
        model: Name of the model on the server.
        temperature: Sampling temperature; None for the server's default.
        seed: Seed of the first attempt, incremented for each further one; None for the server's default.
        per_class: Number N of descriptors per class and kind.
        prompt_hash: Hash of the texts that ask for descriptors.
        rephrased: Number of rephrased names per class.
        rephrase_hash: Hash of the texts that ask for rephrased names.
    """

    model: str
    temperature: float | None
    seed: int | None
    per_class: int
    prompt_hash: str
    rephrased: int = 0
    rephrase_hash: str = ""

    def __post_init__(self) -> None:
        if self.per_class < 1:
            raise UserError(f"per_class is {self.per_class}, expected at least 1 descriptor per class and kind.")
        if self.rephrased < 0:
            raise UserError(f"The number of rephrased names is {self.rephrased}, expected 0 or more.")

    @property
    def run(self) -> str:
        """Short hash of the settings of descriptors, which identifies their answers in the journal."""
        return self._hash(without=("rephrased", "rephrase_hash"))

    @property
    def rephrasing_run(self) -> str:
        """Short hash of the settings of rephrased names, which identifies their answers in the journal."""
        return self._hash(without=("per_class", "prompt_hash"))

    def count(self, kind: SentenceKind) -> int:
        """Returns the number of texts per class of one kind; `name` stands for rephrased names."""
        return self.rephrased if kind == "name" else self.per_class

    def _hash(self, without: tuple[str, ...]) -> str:
        settings = sorted((name, value) for name, value in asdict(self).items() if name not in without)
        return sha256(repr(settings).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Limits:
    """Limits on requests and answers.

    Attributes:
        concurrency: Number of concurrent requests.
        timeout: Seconds after which a request times out, from connecting to the last byte of the response.
        retries: Number of times that a request is repeated after a temporary error (429, 5xx) or a time-out.
        attempts: Number of answers that may be requested per list.
        max_words: Largest number of words of a descriptor.
    """

    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 6
    attempts: int = 4
    max_words: int = 25

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < _MINIMUM[field.name]:
                raise UserError(
                    f"limits.{field.name} is {getattr(self, field.name)}, expected at least {_MINIMUM[field.name]}."
                )


@dataclass(slots=True)
class Usage:
    """Token usage as reported by the server.

    Attributes:
        answers: Number of answers.
        prompt_tokens: Number of tokens in the prompts.
        completion_tokens: Number of tokens in the answers.
    """

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Adds the tokens of one answer."""
        self.answers += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def as_dict(self) -> dict[str, Any]:
        """Returns the counts by name, for the provenance."""
        return asdict(self)
