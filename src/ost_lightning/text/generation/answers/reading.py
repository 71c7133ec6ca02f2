"""Evaluation of an answer: its descriptors, or the reason why it is unusable."""

from dataclasses import dataclass

from ost_lightning.text.generation.answers.items import problem_with
from ost_lightning.text.generation.answers.parsing import parse_answer
from ost_lightning.text.generation.answers.refusals import asks_back, is_refusal
from ost_lightning.text.generation.answers.responses import (
    MAX_BYTES,
    Completion,
    ServerError,
    is_too_long,
    read_response,
)
from ost_lightning.text.linting import normalized
from ost_lightning.vocabulary import SentenceKind


@dataclass(frozen=True, slots=True)
class Reading:
    """Evaluated answer.

    Attributes:
        descriptors: N texts; empty if there is a problem.
        problem: Reason why the answer is unusable; empty if it is usable.
        model: Name of the model, as reported by the server.
        prompt_tokens: Number of prompt tokens; 0 if the server does not report it.
        completion_tokens: Number of answer tokens; 0 if the server does not report it.
        answered: Whether the model answered; if not, the server reported an error, and the problem has its words.
    """

    descriptors: tuple[str, ...] = ()
    problem: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answered: bool = True


def read_answer(body: str, kind: SentenceKind, per_class: int, max_words: int) -> Reading:
    """Evaluates the body of a response.

    Args:
        body: Response body, unchanged.
        kind: Kind of the descriptors. Spatio Descriptors and rephrased names (`name`) are ranked, so extra ones are
            dropped. A truncated sequence of steps would lose its end, so extra steps are a problem.
        per_class: Requested number of descriptors.
        max_words: Largest number of words of a descriptor.
    """
    response = read_response(body)
    if isinstance(response, ServerError):
        return Reading(problem=response.message, answered=False)
    if response is None:
        too_long = f"it was longer than {MAX_BYTES // 10**6} MB"
        return Reading(
            problem=too_long if is_too_long(body) else "the response was not a chat completion, or broke off"
        )
    descriptors, problem = _evaluate(response, kind, per_class, max_words)
    return Reading(
        descriptors if not problem else (),
        problem,
        response.model,
        response.prompt_tokens,
        response.completion_tokens,
    )


# problems are part of the next prompt: rewording them changes what the LLM reads
def _evaluate(
    completion: Completion, kind: SentenceKind, per_class: int, max_words: int
) -> tuple[tuple[str, ...], str]:
    if completion.refused:
        return (), "it was refused"
    if completion.truncated:
        return (), "it broke off at the length limit"
    if not completion.content.strip():
        return (), "it was empty"
    parsed = parse_answer(completion.content)
    texts = parsed.descriptors
    if is_refusal(parsed.around):
        return (), "it was refused"
    if asks_back(parsed.around):
        return (), "it was a question"
    if parsed.problem:
        return (), f"it had 0 items instead of {per_class} ({parsed.problem})"
    if problem := problem_with(texts):
        return (), problem
    if len(texts) > per_class and kind != "temporal" and parsed.marked:
        texts = texts[:per_class]
    if len(texts) != per_class:
        return (), f"it had {len(texts)} items instead of {per_class}"
    if long := [text for text in texts if len(text.split()) > max_words]:
        return (), f"an item had {len(long[0].split())} words, at most {max_words} are allowed"
    if len({normalized(text) for text in texts}) < len(texts):
        return (), "an item stood twice"
    return texts, ""
