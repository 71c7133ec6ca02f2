"""Has an LLM describe classes, and says how far it is."""

import asyncio
import os
from collections.abc import Callable, Sequence

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.describing import describe_classes
from ost_lightning.text.generation.journal import Question
from ost_lightning.text.generation.state import Generation

Progress = Callable[[int, int], None]
"""Function that is called with the number of lists that are written, and of all lists."""


def has_llm() -> bool:
    """Returns whether there is a key or a server."""
    return bool(os.environ.get("OPENAI_API_KEY", "").strip() or os.environ.get("OPENAI_BASE_URL"))


def describe(names: Sequence[str], llm: str, per_class: int, progress: Progress) -> LabelSpace:
    """Returns classes with descriptors of an LLM; those that it has described before come from the cache.

    Args:
        names: Class names.
        llm: Name of the LLM as the server knows it.
        per_class: Number of descriptors of each kind.
        progress: Function that is told how far it is.

    Raises:
        UserError: If there is no key, the server refuses, or descriptors are missing in the end.
    """

    def ask(generation: Generation) -> UserError | None:
        # imports the openai package
        from ost_lightning.text.generation.asking import Asker
        from ost_lightning.text.generation.server import Server

        done = sum(map(generation.is_done, generation.questions))

        def tell(question: Question, problem: str) -> None:
            nonlocal done
            done += not problem
            progress(done, len(generation.questions))

        async def run() -> None:
            async with Server(generation.limits) as server:
                await Asker(generation, server, tell).run()

        try:
            asyncio.run(run())
        except UserError as error:
            return error
        return None

    return describe_classes(names, llm, per_class, ask)
