"""What is asked, and how patiently."""

from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, Final

from ost_lightning.errors import UserError

_AT_LEAST: Final = {"concurrency": 1, "timeout": 0.001, "retries": 0, "attempts": 1, "max_words": 1}


@dataclass(frozen=True, slots=True)
class Sampling:
    """What shapes an answer. Answers are kept apart by it: another setting asks anew.

    Attributes:
        model: Name that the server knows.
        temperature: Of the model; None leaves it to the server.
        seed: Of the first attempt; further attempts count up. None leaves it to the server.
        per_class: N, descriptors of each kind.
        prompt_hash: Of the prompts' texts.
    """

    model: str
    temperature: float | None
    seed: int | None
    per_class: int
    prompt_hash: str

    def __post_init__(self) -> None:
        if self.per_class < 1:
            raise UserError(f"per_class is {self.per_class}: ask for at least one descriptor of each kind.")

    @property
    def run(self) -> str:
        """Short hash of everything here; in the journal it marks the answers to these settings."""
        return sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Limits:
    """How patiently is asked.

    Attributes:
        concurrency: Requests at once.
        timeout: Seconds until a silent server counts as hanging.
        retries: How often a request is repeated that the server refuses for the moment (429, 5xx) or does not answer.
        attempts: How many answers may be asked for one list before it is given up.
        max_words: A descriptor with more words is over-long.
    """

    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 6
    attempts: int = 4
    max_words: int = 25

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < _AT_LEAST[field.name]:
                raise UserError(
                    f"limits.{field.name} is {getattr(self, field.name)}, expected at least {_AT_LEAST[field.name]}."
                )


@dataclass(slots=True)
class Usage:
    """Tokens that the server has counted.

    Attributes:
        answers: How many answers.
        prompt_tokens: Read.
        completion_tokens: Written.
    """

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Counts one answer."""
        self.answers += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def as_dict(self) -> dict[str, Any]:
        """For provenance and messages."""
        return asdict(self)
