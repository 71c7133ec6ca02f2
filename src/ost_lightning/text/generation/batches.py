"""The Batch API: all open lists in one file, at half the price, within a day.

What is under way is in the journal, so that a killed run finds its batch again and never pays for it twice; a batch
that was made just before the kill is found by its metadata.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeVar

import openai
from openai.types import Batch

from ost_lightning.errors import UserError
from ost_lightning.text.generation.journal import Question
from ost_lightning.text.generation.server import Server, request_body, speaks_of_structure
from ost_lightning.text.generation.state import Generation

BatchProgress = Callable[[str, int, int], None]
"""Is told a batch's status, how many of its requests are done, and how many it has."""

_MOST_REQUESTS: Final = 50_000
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_RUN_KEY: Final = "ost_run"
_ROUND_KEY: Final = "ost_round"
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a batch's output or error file."""

    question: str
    status: int
    body: str


class BatchAsker:
    """Works through the open lists of a generation, one batch a round, until every list is there or given up.

    Args:
        generation: What is wanted, and where answers go.
        server: Who answers; it must offer files and batches.
        progress: Is told how a batch goes.
    """

    def __init__(self, generation: Generation, server: Server, progress: BatchProgress) -> None:
        self._generation, self._server, self._progress = generation, server, progress

    async def run(self) -> None:
        """Takes up the batch that is under way, if any, and goes on with new ones.

        Raises:
            UserError: If the server refuses a batch as a whole, or answers none of its requests.
        """
        under_way = await self._under_way()
        while under_way is not None or self._generation.open():
            batch = await self._wait(under_way or await self._submit())
            lines = [line async for line in self._lines(batch)]
            progressed = self._collect(batch.id, lines)
            self._generation.journal.append("batch_read", self._generation.run, batch=batch.id, status=batch.status)
            if not progressed:
                raise UserError(_nothing_came(batch, lines, self._server.hide))
            under_way = None

    async def _under_way(self) -> str | None:
        """A batch of these settings that has not been read, by the journal or, after an untimely end, by the server."""
        journal, run = self._generation.journal, self._generation.run
        read = {event["batch"] for event in journal.events("batch_read", run)}
        for event in journal.events("batch", run):
            if event["batch"] not in read:
                return str(event["batch"])
        intended = journal.events("batch_intended", run)
        known = {event["round"] for event in journal.events("batch", run)}
        if not intended or intended[-1]["round"] in known:
            return None
        page = await self._call(self._server.client.batches.list(limit=100))
        for batch in page.data:
            wanted = {_RUN_KEY: run, _ROUND_KEY: intended[-1]["round"]}
            if wanted.items() <= (batch.metadata or {}).items():
                journal.append("batch", run, batch=batch.id, round=intended[-1]["round"])
                return batch.id
        return None

    async def _submit(self) -> str:
        generation, client = self._generation, self._server.client
        waiting = generation.open()[:_MOST_REQUESTS]
        content = "".join(json.dumps(self._request(question)) + "\n" for question in waiting).encode()
        # the content names the round, so that the same round is never submitted twice
        name = sha256(content).hexdigest()[:16] + f"-{len(generation.journal.events('batch_intended', generation.run))}"
        generation.journal.append("batch_intended", generation.run, round=name, requests=len(waiting))
        file = await self._call(client.files.create(file=("requests.jsonl", content), purpose="batch"))
        batch = await self._call(
            client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_RUN_KEY: generation.run, _ROUND_KEY: name},
            )
        )
        generation.journal.append("batch", generation.run, batch=batch.id, round=name)
        return batch.id

    def _request(self, question: Question) -> dict[str, Any]:
        generation = self._generation
        attempt, messages = generation.attempt(question), generation.messages(question)
        return {
            "custom_id": _custom_id(question),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": request_body(generation.sampling, messages, attempt, structured=generation.structured),
        }

    async def _wait(self, identifier: str) -> Batch:
        while True:
            batch = await self._call(self._server.client.batches.retrieve(identifier))
            counts = batch.request_counts
            done, total = (counts.completed + counts.failed, counts.total) if counts else (0, 0)
            self._progress(batch.status, done, total)
            if batch.status in _ENDED:
                return batch
            await asyncio.sleep(self._generation.limits.poll)

    async def _lines(self, batch: Batch) -> AsyncIterator[_Line]:
        for identifier in (batch.output_file_id, batch.error_file_id):
            if identifier is not None:
                content = await self._call(self._server.client.files.content(identifier))
                for line in _parse_lines(content.text):
                    yield line

    def _collect(self, batch: str, lines: Iterable[_Line]) -> bool:
        """Keeps the answers that have not been kept yet; returns whether another round makes sense."""
        generation, progressed = self._generation, False
        by_id = {_custom_id(question): question for question in generation.questions}
        kept = generation.answered_by_batch(batch)
        for line in lines:
            if (question := by_id.get(line.question)) is None:
                continue
            body = self._server.hide(line.body)
            if line.status == 200:
                if question not in kept:
                    generation.record(question, body, self._server.host, batch)
                    kept.add(question)
                progressed = True
            elif generation.structured and speaks_of_structure(body):
                generation.ask_plainly(body[:300])
                progressed = True
            else:
                generation.unanswered[question] = f"status {line.status}: {body[:200]}"
        return progressed

    async def _call(self, request: Awaitable[_Value]) -> _Value:
        try:
            return await request
        except openai.APIError as error:
            failure = self._server.failure(error)
            if not isinstance(failure, UserError):
                failure = UserError(
                    f"{self._server.host} did not answer ({failure}). Batches go on by themselves: run the same "
                    "command again."
                )
            raise failure from None  # the server's words may repeat the key


def _custom_id(question: Question) -> str:
    """Names a question within a batch, whatever characters its class name has."""
    return f"{question.kind}-{sha256(question.name.encode()).hexdigest()[:24]}"


def _parse_lines(text: str) -> Iterator[_Line]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # its question stays open and is asked in the next round
        if isinstance(entry, Mapping) and isinstance(entry.get("custom_id"), str):
            response = entry.get("response") or {}
            body = response.get("body") or entry.get("error") or {}
            yield _Line(entry["custom_id"], int(response.get("status_code") or 0), json.dumps(body, ensure_ascii=False))


def _nothing_came(batch: Batch, lines: list[_Line], hide: Callable[[str], str]) -> str:
    """Why a batch gave nothing."""
    reasons = [error.message or error.code or "" for error in (batch.errors.data or [])] if batch.errors else []
    reasons += [line.body for line in lines]
    told = hide(reasons[0])[:300] if reasons else "no reason given"
    return (
        f"The batch {batch.id} ended as '{batch.status}' without an answer: {told}. Mend what it names and run the "
        "same command again, or do without --batch."
    )
