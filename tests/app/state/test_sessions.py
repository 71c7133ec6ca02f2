"""People don't see each other's videos, and nothing of them is left."""

from pathlib import Path

import pytest

from ost_lightning.app.state import sessions as module
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.sessions import Sessions


def upload(folder: Path, name: str) -> Path:
    """Puts a file where Gradio puts uploads: in a folder that is named after the content."""
    file = folder / name / "x.mp4"
    file.parent.mkdir(parents=True)
    file.write_bytes(name.encode())
    return file


@pytest.fixture
def sessions(models: Models, tmp_path: Path) -> Sessions:
    return Sessions(models, 1000, tmp_path / "uploads")


def test_each_browser_has_a_session_of_its_own(sessions: Sessions) -> None:
    sessions.of("a").type_classes("archery, surfing")
    assert sessions.of("a").required_labels().names == ("archery", "surfing")
    assert sessions.of("b").labels is None


def test_uploads_go_with_their_session(sessions: Sessions, tmp_path: Path) -> None:
    own, shared = (upload(tmp_path / "uploads", name) for name in ("own", "shared"))
    sessions.uploaded("a", own)
    sessions.uploaded("a", shared)
    sessions.uploaded("b", shared)
    sessions.close("a")
    assert not own.parent.exists()
    assert shared.exists()
    sessions.close("b")
    assert not shared.parent.exists()
    sessions.close("b")
    assert len(sessions) == 0


def test_nothing_outside_the_uploads_is_deleted(sessions: Sessions, tmp_path: Path) -> None:
    example, loose = upload(tmp_path / "examples", "x"), tmp_path / "uploads" / "y.mp4"
    loose.parent.mkdir()
    loose.touch()
    sessions.uploaded("a", example)
    sessions.uploaded("a", loose)
    sessions.close("a")
    assert example.exists()
    assert loose.exists()


def test_the_session_that_was_not_used_for_longest_is_closed(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    file = upload(tmp_path / "uploads", "b")
    first = sessions.of("a")
    sessions.uploaded("b", file)
    assert sessions.of("a") is first
    sessions.of("c")
    assert len(sessions) == 2
    assert sessions.of("a") is first
    assert not file.exists()
