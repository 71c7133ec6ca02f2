"""Journal of a generation: every answer is written to disk before it is used."""

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
from ost_lightning.vocabulary import SentenceKind

_FIELDS: Final[dict[str, type]] = {"event": str, "run": str, "at": str}
_ANSWER_KEYS: Final = ("attempt", "body", "server")
_ANSWER_FIELDS: Final[dict[str, type]] = {"name": str, "kind": str} | {
    key: int if key == "attempt" else str for key in _ANSWER_KEYS
}


@dataclass(frozen=True, slots=True)
class Question:
    """One requested list of descriptors.

    Attributes:
        name: Class name.
        kind: Kind of the descriptors; `name` for rephrased names.
    """

    name: str
    kind: SentenceKind

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the server.

    Attributes:
        question: Requested list.
        attempt: Index of the attempt, from 0.
        body: Body of the HTTP response.
        server: Host name of the server.
        at: Time of the answer, ISO 8601 in UTC; set by the journal.
    """

    question: Question
    attempt: int
    body: str
    server: str
    at: str = ""


class Journal:
    """JSONL file of events, each flushed to disk (fsync) before `append` returns.

    Only one process at a time may open a journal. If a crash truncated the last line, which was then never used, it is
    dropped on opening. Use the journal as a context manager.

    Args:
        file: Path of the journal; created if it does not exist.

    Raises:
        UserError: If another process has opened the journal, or a line other than the last is damaged.
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
        """Writes one event and waits until it is on disk.

        Args:
            event: Kind of the event.
            run: Hash of the settings of the run.
            content: Further values of the event; must be JSON-serializable.

        Returns:
            Event as written.

        Raises:
            UserError: If it can't be written, for example because the disk is full.
        """
        entry = {"event": event, "run": run, "at": datetime.now(UTC).isoformat(timespec="seconds"), **content}
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, size)  # no half line before the next event
            raise UserError(
                f"Can't write to {self.file}: {error.strerror or error}. All earlier answers are in it: free some "
                "space, and continue with the same command."
            ) from error
        self._events.append(entry)
        return entry

    def append_answer(self, run: str, answer: Answer) -> Answer:
        """Writes an answer and returns it with its time."""
        content = {**asdict(answer.question), **{key: getattr(answer, key) for key in _ANSWER_KEYS}}
        return replace(answer, at=self.append("answer", run, **content)["at"])

    def answers(self, run: str) -> dict[Question, list[Answer]]:
        """Returns all answers of a run, in the order of their attempts."""
        found: dict[Question, list[Answer]] = {}
        for entry in self.events("answer", run):
            question = Question(entry["name"], entry["kind"])
            answer = Answer(question, *(entry[key] for key in (*_ANSWER_KEYS, "at")))
            found.setdefault(question, []).append(answer)
        for answers in found.values():
            answers.sort(key=lambda answer: answer.attempt)
        return found

    def events(self, event: str, run: str) -> list[Mapping[str, Any]]:
        """Returns all events of one kind and run, in order."""
        return [entry for entry in self._events if entry["event"] == event and entry["run"] == run]

    def _read(self) -> list[dict[str, Any]]:
        data = self.file.read_bytes()
        *lines, rest = data.split(b"\n")
        if rest:
            if _is_json(rest):  # only the line break is missing
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
                f"{self.file}:{number}: not valid JSON. The journal was modified: repair or delete the line (its "
                "answer is requested again), or choose another folder."
            ) from error
        expected = _FIELDS | (_ANSWER_FIELDS if isinstance(entry, dict) and entry.get("event") == "answer" else {})
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kind) for key, kind in expected.items()):
            keys = ", ".join(expected)
            raise UserError(f"{self.file}:{number}: not a journal entry, expected an object with the keys {keys}.")
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
    except ImportError:  # Windows has no fcntl, so nothing prevents a second process
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"Another process is writing {file}: wait for it to finish, or choose another folder."
        ) from error
