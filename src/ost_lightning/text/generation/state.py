"""Where a generation stands: what the journal holds for a label space and its settings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ost_lightning.text.generation.journal import Answer, Journal, Question
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.reading import Reading, read_answer
from ost_lightning.text.generation.settings import Limits, Sampling, Usage
from ost_lightning.text.label_files import Descriptors
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.vocabulary import DESCRIPTOR_KINDS

_TOKENS_OF_A_MESSAGE = 8
_CHARACTERS_A_TOKEN = 4
_TOKENS_A_DESCRIPTOR = 14


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is still to be asked, if every first answer is good.

    Attributes:
        requests: How many.
        answered: Lists that are there already.
        prompt_tokens: About; a token is taken as four characters.
        completion_tokens: About; a descriptor is taken as fourteen tokens.
    """

    requests: int
    answered: int
    prompt_tokens: int
    completion_tokens: int


class Generation:
    """The lists that a label space needs, and the answers to them so far.

    Args:
        labels: Classes.
        prompts: What is asked.
        sampling: What shapes an answer.
        limits: How many answers may be asked for.
        journal: Holds the answers.
        structured: Ask for JSON by a schema, as long as the server knows that.
    """

    def __init__(
        self,
        labels: LabelSpace,
        prompts: Prompts,
        sampling: Sampling,
        limits: Limits,
        journal: Journal,
        *,
        structured: bool = True,
    ) -> None:
        self.labels, self.prompts, self.sampling, self.limits, self.journal = labels, prompts, sampling, limits, journal
        self.questions = [Question(name, kind) for name in labels.names for kind in DESCRIPTOR_KINDS]
        self.run = sampling.run
        self.unanswered: dict[Question, str] = {}
        self._readings: dict[Question, Reading] = {}
        self._attempts: Counter[Question] = Counter()
        self._usage = Usage()
        self._models: set[str] = set()
        self._servers: set[str] = set()
        self._last = ""
        self.structured = structured and not journal.events("plain", self.run)
        for question, answers in journal.answers(self.run).items():
            for answer in answers:
                self._take(question, answer)

    def open(self) -> list[Question]:
        """Lists that are not there yet and may still be asked for."""
        return [
            question
            for question in self.questions
            if not self.is_done(question) and self._attempts[question] < self.limits.attempts
        ]

    def is_done(self, question: Question) -> bool:
        """Whether a list is there."""
        return bool(question in self._readings and self._readings[question].descriptors)

    def attempt(self, question: Question) -> int:
        """Number of the next attempt, from 0."""
        return self._attempts[question]

    def messages(self, question: Question) -> list[dict[str, str]]:
        """The next request's conversation; it tells what was wrong with the last answer."""
        problem = self._readings[question].problem if question in self._readings else ""
        return self.prompts.messages(
            question.kind, question.name, self.sampling.per_class, as_json=self.structured, problem=problem
        )

    def begin(self) -> None:
        """Notes the settings in the journal, for people who read it."""
        if not self.journal.events("settings", self.run):
            self.journal.append("settings", self.run, **self._settings())

    def record(self, question: Question, body: str, server: str) -> Reading:
        """Writes an answer to the journal, and only then parses it."""
        answer = Answer(question, self._attempts[question], body, server)
        return self._take(question, self.journal.append_answer(self.run, answer))

    def ask_plainly(self, reason: str) -> None:
        """From now on without structured output, in this run and when it is taken up again."""
        if self.structured:
            self.structured = False
            self.journal.append("plain", self.run, reason=reason)

    def estimate(self) -> Estimate:
        """What the open lists will take."""
        waiting = self.open()
        characters = sum(len(message["content"]) for question in waiting for message in self.messages(question))
        prompt_tokens = characters // _CHARACTERS_A_TOKEN + 2 * _TOKENS_OF_A_MESSAGE * len(waiting)
        written = len(waiting) * self.sampling.per_class * _TOKENS_A_DESCRIPTOR
        return Estimate(len(waiting), sum(map(self.is_done, self.questions)), prompt_tokens, written)

    def result(self, origin: str) -> LabelSpace:
        """The label space with all lists that are there."""
        lists = {question: reading.descriptors for question, reading in self._readings.items() if reading.descriptors}
        descriptors = {
            name: Descriptors(*(lists.get(Question(name, kind), ()) for kind in DESCRIPTOR_KINDS))
            for name in self.labels.names
            if any(Question(name, kind) in lists for kind in DESCRIPTOR_KINDS)
        }
        return replace(self.labels, descriptors=descriptors, provenance=self._provenance(), origin=origin)

    def problems(self) -> dict[Question, str]:
        """Lists that are not there, and why."""
        return {question: self._problem(question) for question in self.questions if not self.is_done(question)}

    @property
    def usage(self) -> Usage:
        """Of all answers to these settings, those that could not be used too."""
        return self._usage

    def _problem(self, question: Question) -> str:
        if reason := self.unanswered.get(question):
            return f"no answer: {reason}"
        if question in self._readings:
            count = self._attempts[question]
            return f"{count} answer{'s' if count > 1 else ''}, of the last one: {self._readings[question].problem}"
        return "not asked yet"

    def _take(self, question: Question, answer: Answer) -> Reading:
        reading = read_answer(answer.body, question.kind, self.sampling.per_class, self.limits.max_words)
        self._attempts[question] = max(self._attempts[question], answer.attempt + 1)
        self._usage.add(reading.prompt_tokens, reading.completion_tokens)
        self.unanswered.pop(question, None)
        if not self.is_done(question):
            self._readings[question] = reading
            if reading.descriptors:
                self._models.add(reading.model)
                self._servers.add(answer.server)
                self._last = max(self._last, answer.at)
        return reading

    def _settings(self) -> dict[str, Any]:
        return {
            "model": self.sampling.model,
            "temperature": self.sampling.temperature,
            "seed": self.sampling.seed,
            "per_class": self.sampling.per_class,
            "prompts": self.prompts.origin,
            "prompt_hash": self.sampling.prompt_hash,
        }

    def _provenance(self) -> dict[str, Any]:
        return {
            "source": "generated by an LLM with `ost descriptors generate`",
            **self._settings(),
            "answered_by": _names(self._models),
            "server": _names(self._servers),
            "date": self._last[:10],
            "usage": self._usage.as_dict(),
            "order": "spatio: most typical first; temporal: in the order of the action, as the prompt asks for it",
        }


def _names(found: Iterable[str]) -> str | Sequence[str]:
    names = sorted(name for name in found if name)
    return names[0] if len(names) == 1 else names
