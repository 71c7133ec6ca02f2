"""Asks for all open lists of a generation, several at once."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

from ost_lightning.errors import UserError
from ost_lightning.text.generation.journal import Question
from ost_lightning.text.generation.server import NoAnswer, Server, StructureRefused, request_body
from ost_lightning.text.generation.state import Generation

Progress = Callable[[Question, str], None]
"""Is told a question and what became of its last request: empty if the list is there now."""

_FAILURES_IN_A_ROW = 10


class Asker:
    """Works through the open lists of a generation.

    The first request goes alone: it finds out whether the server accepts the key, the model and the response format.
    Ctrl-C lets the requests that are out be answered, and kept, before it ends.

    Args:
        generation: What is wanted, and where answers go.
        server: Who answers.
        progress: Is told of each request.
    """

    def __init__(self, generation: Generation, server: Server, progress: Progress) -> None:
        self._generation, self._server, self._progress = generation, server, progress
        self._failures = 0
        self._end: UserError | None = None

    async def run(self) -> None:
        """Asks until every list is there or given up.

        Raises:
            UserError: If the server refuses everything, or Ctrl-C was pressed; what has been answered is kept.
        """
        questions = iter(self._generation.open())
        with _stopping_at_ctrl_c(self._stop):
            if (first := next(questions, None)) is not None:
                await self._settle(first)
                await asyncio.gather(*(self._work(questions) for _ in range(self._generation.limits.concurrency)))
        if self._end is not None:
            raise self._end

    async def _work(self, questions: Iterator[Question]) -> None:
        for question in questions:
            if self._end is not None:
                return
            await self._settle(question)

    async def _settle(self, question: Question) -> None:
        """Asks for one list until it is there or its attempts are used up."""
        generation = self._generation
        while not generation.is_done(question) and generation.attempt(question) < generation.limits.attempts:
            if self._end is not None:
                return
            try:
                problem = await self._ask(question)
            except NoAnswer as error:
                generation.unanswered[question] = str(error)
                self._progress(question, f"no answer: {error}")
                self._count_failure(str(error))
                return
            except UserError as error:
                self._end = self._end or error
                return
            self._failures = 0
            self._progress(question, problem)

    async def _ask(self, question: Question) -> str:
        generation = self._generation
        structured = generation.structured
        messages, attempt = generation.messages(question), generation.attempt(question)
        request = request_body(generation.sampling, messages, attempt, structured=structured)
        try:
            body = await self._server.ask(request)
        except StructureRefused as error:
            generation.ask_plainly(str(error))
            return "the server does not know structured output; asked again without"
        return generation.record(question, body, self._server.host).problem

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            self._end = self._end or UserError(
                f"{self._failures} requests in a row got no answer from {self._server.host} ({reason}). What has been "
                "answered is kept: run the same command again when the server is well."
            )

    def _stop(self) -> None:
        self._end = self._end or UserError(
            "Stopped. What has been answered is kept: the same command goes on where this one ended."
        )


@contextmanager
def _stopping_at_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls `stop`, a second one interrupts as usual.

    Event loops have no such signals on Windows, nor outside the main thread: there the first one interrupts.
    """
    if sys.platform == "win32" or current_thread() is not main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def first() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
