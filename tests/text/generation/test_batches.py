import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.batches import BatchAsker
from ost_lightning.text.generation.journal import Journal
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.server import Server
from ost_lightning.text.generation.settings import Limits, Sampling
from ost_lightning.text.generation.state import Generation
from tests.text.generation import fake_llm as llm

LABELS = LabelSpace(('playing "harp"', "a/b", "caf\u00e9", "x" * 300))
PROMPTS = Prompts.load("ost")
SAMPLING = Sampling("fake", 0.7, 5, 3, PROMPTS.digest)
LIMITS = Limits(timeout=5, retries=0, attempts=3, poll=0.01)


class Killed(BaseException):
    """Stands for kill -9 at a chosen place."""


def generate(
    file: Path, server: llm.FakeLLM, monkeypatch: pytest.MonkeyPatch, killed_at: str | None = None, nth: int = 1
) -> Generation:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")

    async def run(generation: Generation) -> None:
        async with Server(LIMITS) as client:
            await BatchAsker(generation, client, lambda status, done, total: None).run()

    with Journal(file) as journal, monkeypatch.context() as patch:
        generation = Generation(LABELS, PROMPTS, SAMPLING, LIMITS, journal)
        if killed_at:
            append, left = journal.append, [nth]

            def dying(event: str, run: str, **content: Any) -> dict[str, Any]:
                left[0] -= event == killed_at
                if event == killed_at and left[0] == 0:
                    raise Killed
                return append(event, run, **content)

            patch.setattr(journal, "append", dying)
        asyncio.run(run(generation))
    return generation


def complete(generation: Generation) -> None:
    assert generation.problems() == {}
    for name, texts in zip(LABELS.names, generation.result("here").descriptors_of("temporal", 3), strict=True):
        assert texts == tuple(f"temporal thing {k} of {name}" for k in range(3))


def test_one_batch_for_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        generation = generate(tmp_path / "j", server, monkeypatch)
        complete(generation)
        complete(generate(tmp_path / "j", server, monkeypatch))
        assert len(server.batches) == 1
    assert len(server.requests) == 8
    lines = [json.loads(line) for line in server.files["file-0"].splitlines()]
    assert len({line["custom_id"] for line in lines}) == 8
    assert all(len(line["custom_id"]) <= 64 for line in lines)
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert generation.usage.answers == 8


def test_further_rounds_ask_for_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {("a/b", "spatio"): llm.refused, ("caf\u00e9", "temporal"): llm.error(500)}
    with llm.serving(lambda seen: bad.get(seen.question, llm.good) if seen.time == 0 else llm.good) as server:
        complete(generate(tmp_path / "j", server, monkeypatch))
        assert len(server.batches) == 2
        assert Counter(seen.question for seen in server.requests if seen.time == 1) == dict.fromkeys(bad, 1)


def test_what_never_comes_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.too_few if seen.question == ("a/b", "spatio") else llm.good) as server:
        generation = generate(tmp_path / "j", server, monkeypatch)
        assert [str(question) for question in generation.problems()] == ["a/b (spatio)"]
        assert len(server.batches) == 3


def test_a_server_without_structured_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.no_structure) as server:
        complete(generate(tmp_path / "j", server, monkeypatch))
        assert len(server.batches) == 2


def test_a_batch_without_an_answer_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        llm.serving(lambda seen: llm.error(500, "out of order, says sk-made-up")) as server,
        pytest.raises(UserError, match=r"batch-0 ended as 'completed' without an answer: .*out of order, says \[key\]"),
    ):
        generate(tmp_path / "j", server, monkeypatch)
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    ("place", "nth"), [("batch_intended", 1), ("batch", 1), ("answer", 1), ("answer", 5), ("batch_read", 1)]
)
def test_a_killed_run_finds_its_batch_again(
    place: str, nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every place where a run may end, also between the making of a batch and the note of it."""

    def script(seen: llm.Seen) -> llm.Behavior:
        return llm.refused if seen.name == "a/b" and seen.time == 0 else llm.good

    with llm.serving(script) as server:
        with pytest.raises(Killed):
            generate(tmp_path / "j", server, monkeypatch, killed_at=place, nth=nth)
        generation = generate(tmp_path / "j", server, monkeypatch)
        complete(generation)
        assert len(server.batches) == 2
        assert len(server.requests) == 8 + 2
        assert generation.usage.answers == 8 + 2


def test_a_batch_that_is_under_way_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        add = server.add_batch

        def slow(request: dict[str, Any]) -> dict[str, Any]:
            batch = add(request)
            server.batches[batch["id"]] = Slowly(batch, polls=3)
            return batch

        monkeypatch.setattr(server, "add_batch", slow)
        complete(generate(tmp_path / "j", server, monkeypatch))


class Slowly(dict[str, Any]):
    """A batch that is done only after some looks at it."""

    def __init__(self, batch: dict[str, Any], polls: int) -> None:
        super().__init__(batch)
        self["status"], self._polls = "in_progress", polls

    def items(self) -> Any:
        self._polls -= 1
        if self._polls == 0:
            self["status"] = "completed"
        return super().items()
