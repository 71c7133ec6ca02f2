"""Classes that an LLM describes, with a local server instead of one."""

from pathlib import Path

import pytest

from ost_lightning.app.describing import describe, has_llm
from ost_lightning.errors import UserError
from tests.text.generation import fake_llm as llm


@pytest.fixture(autouse=True)
def _nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_progress_is_told_and_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    assert not has_llm()
    with llm.serving(lambda seen: llm.good) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert has_llm()
        found = describe(["archery", "surfing"], "some-model", 4, lambda *numbers: told.append(numbers))
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert {len(entry.spatio) for entry in found.descriptors.values()} == {4}
    assert describe(["archery"], "some-model", 4, lambda *_: None).descriptors == {
        "archery": found.descriptors["archery"]
    }


def test_without_a_key_it_says_what_to_set() -> None:
    with pytest.raises(UserError, match="No API key found: set OPENAI_API_KEY"):
        describe(["archery"], "some-model", 4, lambda *_: None)
