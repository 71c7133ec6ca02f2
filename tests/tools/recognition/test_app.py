"""`ost app`: who may reach it is decided before anything is loaded."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ost_lightning.app import AppSettings, running
from ost_lightning.cli import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[AppSettings]:
    """Settings of the apps that were started and have ended; each is stopped at once, as by Ctrl-C."""
    server = pytest.importorskip("ost_lightning.app.server", reason="needs the extra app")
    found: list[AppSettings] = []

    @contextmanager
    def serving(settings: AppSettings) -> Iterator[str]:
        try:
            yield "http://127.0.0.1:7860/"
        finally:
            found.append(settings)

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serving", serving)
    monkeypatch.setattr(running, "wait", interrupted)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.delenv("OST_APP_AUTH", raising=False)
    return found


def test_options_become_settings(
    started: list[AppSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OST_APP_AUTH", "me:topsecret")
    command = ["app", "--weights=tiny, runs/my", f"--videos={tmp_path}", "--host=0.0.0.0", "--max_upload=2GB"]
    assert main(command) == 130
    assert started == [
        AppSettings(
            weights=("tiny", "runs/my"),
            videos=(tmp_path,),
            host="0.0.0.0",  # noqa: S104
            max_upload=2_000_000_000,
            auth=("me", "topsecret"),
            examples=True,
        )
    ]
    printed = capsys.readouterr()
    assert "The page is at http://127.0.0.1:7860/" in printed.out
    assert "topsecret" not in printed.out + printed.err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--host=0.0.0.0", "others can reach the app"),
        ("--auth=me:topsecret", "names a file that is not there"),
        ("--max_upload=5", "expected a number with a unit"),
        ("--weights=tiny,", "separate weights by single commas"),
        ("--videos=nowhere", "no folder nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(
    started: list[AppSettings], capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert main(["app", option]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert started == []


def test_a_missing_extra_is_named(
    started: list[AppSettings], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    assert main(["app"]) == 1
    assert "pip install 'ost-lightning[app]'" in capsys.readouterr().err
    assert started == []


def test_the_end_of_a_container_is_an_orderly_one(started: list[AppSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(running, "wait", lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as raised:
        running.run(AppSettings())
    assert raised.value.code == 143
    assert started == [AppSettings()]
    assert signal.getsignal(signal.SIGTERM) == before
