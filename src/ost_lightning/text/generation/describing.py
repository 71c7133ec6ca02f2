"""Descriptors for class names, written by an LLM and kept in the cache."""

from collections.abc import Callable, Sequence
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.resources import cache_folder
from ost_lightning.text.generation.journal import Journal
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.settings import Limits, Sampling
from ost_lightning.text.generation.state import Generation
from ost_lightning.text.label_space import LabelSpace

JOURNAL: Final = "journal.jsonl"
_SHOWN: Final = 3
_TEMPERATURE: Final = 0.7


def describe_classes(
    names: Sequence[str],
    model: str,
    per_class: int,
    ask: Callable[[Generation], UserError | None],
    prompts: str = "ost",
    limits: Limits = Limits(),  # frozen
) -> LabelSpace:
    """Returns a label space with descriptors, which an LLM writes for all classes that it has not described before.

    Answers are kept in the cache, in a folder for each model, prompts and number of descriptors. Server and key come
    from OPENAI_BASE_URL and OPENAI_API_KEY; if all classes are in the cache, none is needed.

    Args:
        names: Class names.
        model: Name of the LLM as the server knows it.
        per_class: Number of descriptors of each kind.
        ask: Function that sends the open requests, and returns the error that ended them early.
        prompts: Name of prompts in prompts/descriptors (ost, ranked), or a YAML file.
        limits: Concurrency, timeouts, retries and attempts.

    Raises:
        UserError: If there is no key, the server refuses, or descriptors are missing in the end.
    """
    loaded = Prompts.load(prompts)
    sampling = Sampling(model, _TEMPERATURE, 0, per_class, loaded.digest)
    folder = cache_folder() / "descriptors" / sampling.run
    with Journal(folder / JOURNAL) as journal:
        generation = Generation(LabelSpace(tuple(names)), loaded, sampling, limits, journal)
        if generation.open_questions():
            generation.record_settings()
            if (end := ask(generation)) is not None:
                raise end
        if problems := generation.problems():
            shown = "; ".join(f"{question}: {reason}" for question, reason in list(problems.items())[:_SHOWN])
            raise UserError(
                f"{model} has not described all classes: {len(problems)} of {len(generation.questions)} lists are "
                f"missing ({shown}). Ask again, choose another --llm, or delete {folder}."
            )
        return generation.result(str(folder))
