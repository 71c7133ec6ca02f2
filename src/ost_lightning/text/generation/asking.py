"""Concurrent requests for all missing lists of a generation."""

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
"""Function that receives a question and the problem with its last request; empty if the list is complete."""

_MAX_CONSECUTIVE_FAILURES = 10


class Asker:
    """Requests the missing lists of a generation.

    The first request is sent alone to check that the server accepts the key, the model and the response format. On
    Ctrl-C, pending requests are answered and recorded before the run ends.

    Args:
        generation: Generation with the missing lists, which records the answers.
        server: Client of the server.
        progress: Function that is called after each request.
    """

    def __init__(self, generation: Generation, server: Server, progress: Progress) -> None:
        self._generation, self._server, self._progress = generation, server, progress
        self._failures = 0
        self._error: UserError | None = None

    async def run(self) -> None:
        """Requests lists until each is complete or has no attempts left.

        Raises:
            UserError: If the server rejects all requests, or after Ctrl-C; answers so far are kept.
        """
        questions = iter(self._generation.open_questions())
        with _stop_on_ctrl_c(self._stop):
            if (first := next(questions, None)) is not None:
                await self._settle(first)
                await asyncio.gather(*(self._work(questions) for _ in range(self._generation.limits.concurrency)))
        if self._error is not None:
            raise self._error

    async def _work(self, questions: Iterator[Question]) -> None:
        for question in questions:
            if self._error is not None:
                return
            await self._settle(question)

    async def _settle(self, question: Question) -> None:
        """Requests one list until it is complete or has no attempts left."""
        generation = self._generation
        while not generation.is_done(question) and generation.attempt(question) < generation.limits.attempts:
            if self._error is not None:
                return
            try:
                problem = await self._ask(question)
            except NoAnswer as error:
                generation.unanswered[question] = str(error)
                self._progress(question, f"no answer: {error}")
                self._count_failure(str(error))
                return
            except UserError as error:
                self._error = self._error or error
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
            generation.disable_structured_output(str(error))
            return "the server does not support structured output; retrying without it"
        return generation.record(question, body, self._server.host).problem

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        if self._failures >= _MAX_CONSECUTIVE_FAILURES:
            self._error = self._error or UserError(
                f"{self._failures} consecutive requests got no answer from {self._server.host} ({reason}). Answers so "
                "far are kept: run the same command again once the server is available."
            )

    def _stop(self) -> None:
        self._error = self._error or UserError(
            "Stopped. Answers so far are kept: run the same command again to resume."
        )


@contextmanager
def _stop_on_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` on the first Ctrl-C; a second one interrupts as usual.

    Event loops do not support signal handlers on Windows or outside the main thread: there, the first one interrupts.
    """
    if sys.platform == "win32" or current_thread() is not main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def handle_first() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    loop.add_signal_handler(signal.SIGINT, handle_first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
