import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.text.generation.journal import Answer, Journal, Question
from tests.full_disk import files_of_at_most

ARCHERY = Question("archery", "spatio")


def fill(file: Path, *bodies: str) -> None:
    with Journal(file) as journal:
        for attempt, body in enumerate(bodies):
            journal.append_answer("run", Answer(ARCHERY, attempt, body, "host"))


def bodies(file: Path, run: str = "run") -> list[str]:
    with Journal(file) as journal:
        return [answer.body for answer in journal.answers(run).get(ARCHERY, [])]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4))
def test_answers_round_trip_with_any_content(tmp_path: Path, content: list[str]) -> None:
    file = tmp_path / "journal.jsonl"
    file.unlink(missing_ok=True)
    fill(file, *content)
    assert bodies(file) == content
    assert len(file.read_bytes().splitlines()) >= len(content)


@pytest.mark.parametrize("room", [0, 30])
def test_a_full_disk_is_reported_and_leaves_the_journal_whole(tmp_path: Path, room: int) -> None:
    file = tmp_path / "journal.jsonl"
    fill(file, "one")
    size = file.stat().st_size
    with Journal(file) as journal:
        with (
            files_of_at_most(size + room),
            pytest.raises(UserError, match=r"journal\.jsonl: File too large\. All earlier"),
        ):
            journal.append_answer("run", Answer(ARCHERY, 1, "two", "host"))
        assert file.stat().st_size == size
        journal.append_answer("run", Answer(ARCHERY, 1, "two again", "host"))
    assert bodies(file) == ["one", "two again"]


def test_runs_are_separate(tmp_path: Path) -> None:
    fill(tmp_path / "j", "one")
    assert bodies(tmp_path / "j", run="another") == []


@pytest.mark.parametrize("removed", [1, 5, 40])
def test_a_truncated_last_line_is_dropped(tmp_path: Path, removed: int) -> None:
    file = tmp_path / "j"
    fill(file, "one", "two")
    content = file.read_bytes()
    first, second = content.splitlines(keepends=True)
    file.write_bytes(first + second[: -removed - 1])
    assert bodies(file) == ["one"]
    assert file.read_bytes() == first
    second_answer = Answer(ARCHERY, 1, "again", "host")
    with Journal(file) as journal:
        journal.append_answer("run", second_answer)
    assert bodies(file) == ["one", "again"]


def test_a_last_line_without_line_break_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "j"
    fill(file, "one", "two")
    file.write_bytes(file.read_bytes()[:-1])
    fill(file, "three")
    assert sorted(bodies(file)) == ["one", "three", "two"]


@pytest.mark.parametrize("line", ["nonsense", "[]", "{}", '{"event": "answer", "run": "r", "at": "t", "name": "x"}'])
def test_damaged_lines_are_rejected(tmp_path: Path, line: str) -> None:
    file = tmp_path / "j"
    fill(file, "one")
    file.write_text(f"{file.read_text()}{line}\n{file.read_text()}")
    with pytest.raises(UserError, match=r"j:2: not "):
        Journal(file)


def test_a_journal_is_open_in_one_process_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "j"
    code = "from pathlib import Path; from ost_lightning.text.generation.journal import Journal; "
    code += f"Journal(Path({str(file)!r}))"
    with Journal(file):
        with pytest.raises(UserError, match="Another process is writing"):
            Journal(file)
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "Another process is writing" in other.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_event_is_on_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    synced: list[bytes] = []
    file = tmp_path / "j"
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (sync(descriptor), synced.append(file.read_bytes())))
    with Journal(file) as journal:
        for attempt in range(3):
            journal.append_answer("run", Answer(ARCHERY, attempt, f"body {attempt}", "host"))
            assert json.loads(synced[-1].splitlines()[-1])["body"] == f"body {attempt}"


def test_journals_of_version_0_1_with_batches_are_read(tmp_path: Path) -> None:
    """Checks journals of version 0.1, which also recorded the batch of each answer."""
    file = tmp_path / "j"
    events = [
        {"event": "batch_intended", "run": "run", "at": "2026-11-25", "round": "r", "requests": 1},
        {"event": "answer", "run": "run", "at": "2026-11-25", "name": "archery", "kind": "spatio"}
        | {"attempt": 0, "body": "one", "server": "host", "batch": "batch-0"},
    ]
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert bodies(file) == ["one"]
    with Journal(file) as journal:
        (answer,) = journal.answers("run")[ARCHERY]
    assert answer == Answer(ARCHERY, 0, "one", "host", "2026-11-25")
