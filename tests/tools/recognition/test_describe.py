"""`ost recognize --describe` with a local server instead of an LLM."""

import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from tests.text.generation import fake_llm as llm
from tests.videos import write_video

KEY = "sk-proj-s3cr3ts3cr3ts3cr3t"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.setenv("OST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_video(Path("clip.mp4"), 8)


def recognize(classes: str, *options: str) -> int:
    return main(["recognize", "clip.mp4", "--weights=tiny", f"--classes={classes}", "--describe", *options])


def test_each_class_is_described_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert recognize("archery, surfing") == 0
        assert {seen.question for seen in server.requests} == {
            (name, kind) for name in ("archery", "surfing") for kind in ("spatio", "temporal")
        }
        assert recognize("surfing, archery, juggling") == 0  # another order, and one class more
        assert [seen.name for seen in server.requests[4:]] == ["juggling"] * 2
        assert {seen.count for seen in server.requests} == {4}
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    capsys.readouterr()
    assert recognize("archery, surfing") == 0  # needs neither server nor key
    printed = capsys.readouterr().out
    assert "The descriptors of 2 classes are in" in printed
    assert "OptimalDescriptorSolver" in printed
    assert "thing" in printed.split("decided by")[1]


def test_nothing_falls_back_unless_told_to(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def partly(seen: llm.Seen) -> llm.Behavior:
        return llm.refused if seen.question == ("surfing", "temporal") else llm.good

    with llm.serving(partly) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert recognize("archery, surfing") == 1
        message = " ".join(capsys.readouterr().err.split())
        assert "has not described all classes: 1 of 4 lists are missing" in message
        assert "surfing" in message
        assert "add --fall_back" in message
        assert recognize("archery, surfing", "--fall_back") == 0
    printed = capsys.readouterr().out
    assert "No descriptors: gpt-3.5-turbo has not described all classes" in printed
    assert "compared with the class names alone" in printed


def test_a_bad_key_is_told_and_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with llm.serving(lambda seen: llm.error(401, f"wrong key {KEY}")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert recognize("archery, surfing") == 1
    message = capsys.readouterr().err
    assert "does not accept the key" in message
    assert KEY not in message
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert recognize("archery, surfing") == 1
    assert "No API key found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels=ucf101", "--describe"], "--describe is for class names"),
        (["--classes=a, b", "--fall_back"], "--fall_back is for --describe"),
    ],
)
def test_options_that_need_each_other(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "clip.mp4", "--weights=does/not/exist", *options]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
