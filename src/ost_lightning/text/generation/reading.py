"""Evaluation of an answer: its descriptors, or the reason why it is unusable."""

from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from ost_lightning.text.generation.parsing import is_refusal, parse_descriptors
from ost_lightning.text.linting import normalized
from ost_lightning.vocabulary import DescriptorKind


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Completion(BaseModel):
    """Required parts of a chat completion; servers may omit the rest."""

    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Evaluated answer.

    Attributes:
        descriptors: N texts; empty if there is a problem.
        problem: Reason why the answer is unusable; empty if it is usable.
        model: Name of the model, as reported by the server.
        prompt_tokens: Number of prompt tokens; 0 if the server does not report it.
        completion_tokens: Number of answer tokens; 0 if the server does not report it.
    """

    descriptors: tuple[str, ...] = ()
    problem: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def read_answer(body: str, kind: DescriptorKind, per_class: int, max_words: int) -> Reading:
    """Evaluates the body of a response.

    Args:
        body: Response body, unchanged.
        kind: Kind of the descriptors. Spatio Descriptors are ranked, so extra ones are dropped. A truncated sequence of
            steps would lose its end, so extra steps are a problem.
        per_class: Requested number of descriptors.
        max_words: Largest number of words of a descriptor.
    """
    try:
        completion = Completion.model_validate_json(body)
    except ValidationError:
        return Reading(problem="the response was not a chat completion, or broke off")
    choice, usage = completion.choices[0], completion.usage or _Usage()
    descriptors, problem = _evaluate(choice, kind, per_class, max_words)
    return Reading(
        descriptors if not problem else (),
        problem,
        completion.model or "",
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
    )


# problems are part of the next prompt: rewording them changes what the LLM reads
def _evaluate(choice: _Choice, kind: DescriptorKind, per_class: int, max_words: int) -> tuple[tuple[str, ...], str]:
    content = choice.message.content or ""
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return (), "it was refused"
    if choice.finish_reason == "length":
        return (), "it broke off at the length limit"
    if not content.strip():
        return (), "it was empty"
    texts = parse_descriptors(content)
    if len(texts) < per_class and is_refusal(content):
        return (), "it was refused"
    if len(texts) > per_class and kind == "spatio":
        texts = texts[:per_class]
    if len(texts) != per_class:
        return (), f"it had {len(texts)} items instead of {per_class}"
    if long := [text for text in texts if len(text.split()) > max_words]:
        return (), f"an item had {len(long[0].split())} words, at most {max_words} are allowed"
    if len({normalized(text) for text in texts}) < len(texts):
        return (), "an item stood twice"
    return texts, ""
