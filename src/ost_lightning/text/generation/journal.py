"""The journal of a generation: every answer is on disk before anything else is done with it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ost_lightning.errors import UserError
from ost_lightning.files import sync_folder
from ost_lightning.vocabulary import DescriptorKind

_FIELDS: Final[dict[str, type]] = {"event": str, "run": str, "at": str}
_OF_AN_ANSWER: Final = ("attempt", "body", "server")
_ANSWER_FIELDS: Final[dict[str, type]] = {"name": str, "kind": str} | {
    key: int if key == "attempt" else str for key in _OF_AN_ANSWER
}


@dataclass(frozen=True, slots=True)
class Question:
    """One list that is wanted.

    Attributes:
        name: Of the class.
        kind: Of the descriptors.
    """

    name: str
    kind: DescriptorKind

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as it came.

    Attributes:
        question: What was asked.
        attempt: From 0.
        body: Of the HTTP response.
        server: Host that answered.
        at: When it came, ISO 8601 in UTC; the journal sets it.
    """

    question: Question
    attempt: int
    body: str
    server: str
    at: str = ""


class Journal:
    """Appends events to a JSONL file, each flushed to the disk (fsync) before `append` returns.

    One process at a time may hold a journal. A last line that was cut off by a crash is dropped when it is opened; it
    was never used. Use it as a context manager.

    Args:
        file: The journal; made if it is not there.

    Raises:
        UserError: If another process holds it, or a line within it is damaged.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._descriptor, file)
            self._events = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise
        sync_folder(file.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def append(self, event: str, run: str, **content: Any) -> dict[str, Any]:
        """Writes one event and waits until it is on the disk.

        Args:
            event: What kind.
            run: Hash of the settings that it belongs to.
            content: Anything that JSON can hold.

        Returns:
            The event as written.
        """
        entry = {"event": event, "run": run, "at": datetime.now(UTC).isoformat(timespec="seconds"), **content}
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        written = os.write(self._descriptor, line)
        while written < len(line):
            written += os.write(self._descriptor, line[written:])
        os.fsync(self._descriptor)
        self._events.append(entry)
        return entry

    def append_answer(self, run: str, answer: Answer) -> Answer:
        """Keeps an answer; returns it with its time."""
        content = {**asdict(answer.question), **{key: getattr(answer, key) for key in _OF_AN_ANSWER}}
        return replace(answer, at=self.append("answer", run, **content)["at"])

    def answers(self, run: str) -> dict[Question, list[Answer]]:
        """All answers to these settings, in the order of their attempts."""
        found: dict[Question, list[Answer]] = {}
        for entry in self.events("answer", run):
            question = Question(entry["name"], entry["kind"])
            answer = Answer(question, *(entry[key] for key in (*_OF_AN_ANSWER, "at")))
            found.setdefault(question, []).append(answer)
        for answers in found.values():
            answers.sort(key=lambda answer: answer.attempt)
        return found

    def events(self, event: str, run: str) -> list[Mapping[str, Any]]:
        """All events of a kind, of one run, in their order."""
        return [entry for entry in self._events if entry["event"] == event and entry["run"] == run]

    def _read(self) -> list[dict[str, Any]]:
        data = self.file.read_bytes()
        *lines, rest = data.split(b"\n")
        if rest:
            if _is_json(rest):  # all but the end of the line had been written
                os.write(self._descriptor, b"\n")
                lines.append(rest)
            else:
                os.ftruncate(self._descriptor, len(data) - len(rest))
        return [self._parse(line, number) for number, line in enumerate(lines, start=1) if line.strip()]

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise UserError(
                f"{self.file}:{number}: not valid JSON. The journal was changed by something else: mend or delete that "
                "line (its answer is asked for again), or choose another folder."
            ) from error
        needed = _FIELDS | (_ANSWER_FIELDS if isinstance(entry, dict) and entry.get("event") == "answer" else {})
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kind) for key, kind in needed.items()):
            expected = ", ".join(needed)
            raise UserError(f"{self.file}:{number}: not a line of a journal: expected an object with {expected}.")
        return entry


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _lock(descriptor: int, file: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps two runs apart there
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"Another process is writing {file}: wait for it, or choose another folder.") from error
