"""`ost recognize --describe`: descriptors for class names, written by an LLM and kept in the cache."""

from collections.abc import Sequence
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.resources import cache_folder
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.journal import Journal
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.settings import Limits, Sampling
from ost_lightning.text.generation.state import Generation
from ost_lightning.tools.generation import JOURNAL, ask, estimate
from ost_lightning.vocabulary import counted

_SHOWN: Final = 3
_TEMPERATURE: Final = 0.7


def describe(
    names: Sequence[str],
    model: str,
    per_class: int,
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
            print(estimate(generation))
            generation.record_settings()
            if (end := ask(generation)) is not None:
                raise end
        else:
            print(f"The descriptors of {counted(len(names), 'class', 'classes')} are in {folder}")
        if problems := generation.problems():
            shown = "; ".join(f"{question}: {reason}" for question, reason in list(problems.items())[:_SHOWN])
            raise UserError(
                f"{model} has not described all classes: {len(problems)} of {len(generation.questions)} lists are "
                f"missing ({shown}). Run the same command again, choose another --llm, or delete {folder}."
            )
        return generation.result(str(folder))
