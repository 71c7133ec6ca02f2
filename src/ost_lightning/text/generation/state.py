"""State of a generation: the answers in the journal for a label space and its settings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ost_lightning.text.generation.answers.reading import Reading, read_answer
from ost_lightning.text.generation.journal import Answer, Journal, Question
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.settings import Limits, Sampling, Usage
from ost_lightning.text.label_files import LISTED_KINDS, Descriptors
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, counted

_TOKENS_PER_MESSAGE = 8
_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_DESCRIPTOR = 14


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of the remaining requests, if the next answer to each is usable.

    Attributes:
        requests: Number of requests.
        answered: Number of complete lists.
        prompt_tokens: Approximate number of prompt tokens, at four characters per token.
        completion_tokens: Approximate number of answer tokens, at fourteen tokens per descriptor.
    """

    requests: int
    answered: int
    prompt_tokens: int
    completion_tokens: int


class Generation:
    """Lists of descriptors that a label space needs, and the answers so far.

    Args:
        labels: Label space with the classes.
        prompts: Prompts for both kinds.
        sampling: Settings that determine an answer.
        limits: Limits on requests and answers.
        journal: Journal of the answers.
        structured: Whether to request JSON with a schema, as long as the server supports it.
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
        kinds = LISTED_KINDS if sampling.rephrased else DESCRIPTOR_KINDS
        self.questions = [Question(name, kind) for name in labels.names for kind in kinds]
        self.run = sampling.run
        self.unanswered: dict[Question, str] = {}
        self._readings: dict[Question, Reading] = {}
        self._attempts: Counter[Question] = Counter()
        self._usage = Usage()
        self._models: set[str] = set()
        self._servers: set[str] = set()
        self._last_answer = ""
        self.structured = structured and not journal.events("plain", self.run)
        found = journal.answers(self.run) | (journal.answers(sampling.rephrasing_run) if sampling.rephrased else {})
        for question, answers in found.items():
            for answer in answers:
                self._add(question, answer)

    def open_questions(self) -> list[Question]:
        """Returns the missing lists that may still be requested."""
        return [
            question
            for question in self.questions
            if not self.is_done(question) and self._attempts[question] < self.limits.attempts
        ]

    def is_done(self, question: Question) -> bool:
        """Returns whether a list is complete."""
        return bool(question in self._readings and self._readings[question].descriptors)

    def attempt(self, question: Question) -> int:
        """Returns the index of the next attempt, from 0."""
        return self._attempts[question]

    def messages(self, question: Question) -> list[dict[str, str]]:
        """Returns the messages of the next request, including the problem with the last answer."""
        problem = self._readings[question].problem if question in self._readings else ""
        return self.prompts.messages(
            question.kind, question.name, self.sampling.count(question.kind), as_json=self.structured, problem=problem
        )

    def record_settings(self) -> None:
        """Writes the settings to the journal, for people who read it."""
        if not self.journal.events("settings", self.run):
            self.journal.append("settings", self.run, **self._settings())

    def record(self, question: Question, body: str, server: str) -> Reading:
        """Writes an answer to the journal before parsing it."""
        answer = Answer(question, self._attempts[question], body, server)
        run = self.sampling.rephrasing_run if question.kind == "name" else self.run
        return self._add(question, self.journal.append_answer(run, answer))

    def disable_structured_output(self, reason: str) -> None:
        """Disables structured output for this run, including when it is resumed."""
        if self.structured:
            self.structured = False
            self.journal.append("plain", self.run, reason=reason)

    def estimate(self) -> Estimate:
        """Estimates the requests and tokens for the missing lists."""
        questions = self.open_questions()
        characters = sum(len(message["content"]) for question in questions for message in self.messages(question))
        prompt_tokens = characters // _CHARACTERS_PER_TOKEN + 2 * _TOKENS_PER_MESSAGE * len(questions)
        texts = sum(self.sampling.count(question.kind) for question in questions)
        completion_tokens = texts * _TOKENS_PER_DESCRIPTOR
        return Estimate(len(questions), sum(map(self.is_done, self.questions)), prompt_tokens, completion_tokens)

    def result(self, origin: str) -> LabelSpace:
        """Returns the label space with all complete lists."""
        lists = {question: reading.descriptors for question, reading in self._readings.items() if reading.descriptors}
        descriptors = {
            name: Descriptors(*(lists.get(Question(name, kind), ()) for kind in LISTED_KINDS))
            for name in self.labels.names
            if any(Question(name, kind) in lists for kind in LISTED_KINDS)
        }
        return replace(self.labels, descriptors=descriptors, provenance=self._provenance(), origin=origin)

    def problems(self) -> dict[Question, str]:
        """Returns the missing lists, each with the reason."""
        return {question: self._problem(question) for question in self.questions if not self.is_done(question)}

    @property
    def usage(self) -> Usage:
        """Token usage of all answers under these settings, including unusable ones."""
        return self._usage

    def _problem(self, question: Question) -> str:
        if reason := self.unanswered.get(question):
            return f"no answer: {reason}"
        if question in self._readings:
            count = self._attempts[question]
            return f"{counted(count, 'answer')}, last problem: {self._readings[question].problem}"
        return "not requested yet"

    def _add(self, question: Question, answer: Answer) -> Reading:
        count = self.sampling.count(question.kind)
        reading = read_answer(answer.body, question.kind, count, self.limits.max_words)
        if not reading.answered:  # recorded by an earlier version; an error of the server uses up no attempt
            return reading
        self._attempts[question] = max(self._attempts[question], answer.attempt + 1)
        self._usage.add(reading.prompt_tokens, reading.completion_tokens)
        self.unanswered.pop(question, None)
        if not self.is_done(question):
            self._readings[question] = reading
            if reading.descriptors:
                self._models.add(reading.model)
                self._servers.add(answer.server)
                self._last_answer = max(self._last_answer, answer.at)
        return reading

    def _settings(self) -> dict[str, Any]:
        return {
            "model": self.sampling.model,
            "temperature": self.sampling.temperature,
            "seed": self.sampling.seed,
            "per_class": self.sampling.per_class,
            "prompts": self.prompts.origin,
            "prompt_hash": self.sampling.prompt_hash,
            "language": self.prompts.language,
            **self._rephrasing(),
        }

    def _rephrasing(self) -> dict[str, Any]:
        if not self.sampling.rephrased:
            return {}
        return {"rephrased": self.sampling.rephrased, "rephrase_hash": self.sampling.rephrase_hash}

    def _provenance(self) -> dict[str, Any]:
        return {
            "source": "generated by an LLM with `ost descriptors generate`",
            **self._settings(),
            "answered_by": _one_or_all(self._models),
            "server": _one_or_all(self._servers),
            "date": self._last_answer[:10],
            "usage": self._usage.as_dict(),
            "order": "spatio: most typical first; temporal: in the order of the action, as the prompt asks for it",
        }


def _one_or_all(values: Iterable[str]) -> str | Sequence[str]:
    distinct = sorted(value for value in values if value)
    return distinct[0] if len(distinct) == 1 else distinct
