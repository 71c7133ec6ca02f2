import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.asking import Asker
from ost_lightning.text.generation.journal import Answer, Journal, Question
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.server import Server
from ost_lightning.text.generation.settings import Limits, Sampling
from ost_lightning.text.generation.state import Generation
from ost_lightning.vocabulary import DESCRIPTOR_KINDS
from tests.text.generation import fake_llm as llm

LABELS = LabelSpace(tuple(f"action {k}" for k in range(6)), source="made up")
PROMPTS = Prompts.load("ost")
SAMPLING = Sampling("fake", 0.7, 5, 3, PROMPTS.digest)
LIMITS = Limits(concurrency=3, timeout=60, retries=2, attempts=3)
SOON = {"retry-after-ms": "20"}


def generate(
    file: Path,
    server: llm.FakeLLM,
    monkeypatch: pytest.MonkeyPatch,
    limits: Limits = LIMITS,
    labels: LabelSpace = LABELS,
) -> Generation:
    """Runs a generation; it keeps the contents of its journal, which is closed afterwards."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")

    async def run(generation: Generation) -> None:
        async with Server(limits) as client:
            await Asker(generation, client, lambda question, problem: None).run()

    with Journal(file) as journal:
        generation = Generation(labels, PROMPTS, SAMPLING, limits, journal)
        asyncio.run(run(generation))
    return generation


def assert_complete(generation: Generation) -> None:
    result = generation.result("here")
    assert generation.problems() == {}
    for kind in ("spatio", "temporal"):
        for name, texts in zip(result.names, result.descriptors_of(kind, 3), strict=True):
            assert texts == tuple(f"{kind} thing {k} of {name}" for k in range(3))


def first_times(behavior: llm.Behavior, times: int = 1) -> llm.Script:
    """Returns a script in which each question fails before it is answered."""
    return lambda seen: behavior if seen.time < times else llm.good


def test_generation_outside_the_main_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.good) as server, ThreadPoolExecutor(1) as thread:
        assert_complete(thread.submit(generate, tmp_path / "j", server, monkeypatch).result())


def test_each_list_is_requested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
        assert Counter(seen.question for seen in server.requests) == dict.fromkeys(server.answered, 1)
        assert len(server.answered) == 12
        # a complete generation sends no requests
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
        assert len(server.requests) == 12
    body = server.requests[0].body
    assert (body["model"], body["temperature"], body["seed"]) == ("fake", 0.7, 5)
    assert body["response_format"]["json_schema"]["schema"]["properties"]["descriptors"]["type"] == "array"
    assert body["response_format"]["json_schema"]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize("behavior", ["prose_around", "fenced"])
def test_answers_with_other_text_are_requested_once(
    behavior: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llm.serving(lambda seen: getattr(llm, behavior)) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
        assert len(server.requests) == 12


@pytest.mark.parametrize(
    "fault",
    [llm.error(429, headers=SOON), llm.error(500, headers=SOON), llm.error(503, headers=SOON), llm.cut_connection],
    ids=["429", "500", "503", "cut connection"],
)
def test_temporary_errors_are_retried(fault: llm.Behavior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = LabelSpace(LABELS.names[:2])
    with llm.serving(first_times(fault)) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch, labels=few))
        assert Counter(seen.question for seen in server.requests) == dict.fromkeys(server.answered, 2)
        # a retry is the same request
        assert all(seen.body["seed"] == 5 for seen in server.requests)


def test_time_outs_are_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(first_times(llm.hang)) as server:
        limits = Limits(concurrency=12, timeout=1, retries=8)
        assert_complete(generate(tmp_path / "j", server, monkeypatch, limits))
        # more than twice if this machine is too busy to answer in time
        assert min(Counter(seen.question for seen in server.requests).values()) >= 2


def test_retry_after_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = LabelSpace(LABELS.names[:1])
    with llm.serving(first_times(llm.error(429, headers={"Retry-After": "1"}))) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch, labels=one))
    for kind in ("spatio", "temporal"):
        first, second = [seen.at for seen in server.requests if seen.kind == kind]
        assert second - first >= 1


@pytest.mark.parametrize(
    ("behavior", "problem"),
    [
        ("too_few", "it had 2 items instead of 3"),
        ("repeated", "an item stood twice"),
        ("over_long", "an item had 60 words"),
        ("refused", "it was refused"),
        ("cut_off", "it broke off at the length limit"),
        ("cut_json", "items instead of 3"),
        ("empty", "it was empty"),
        ("broken_body", "not a chat completion"),
    ],
)
def test_unusable_answers_are_kept_and_requested_again(
    behavior: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = LabelSpace(LABELS.names[:2])
    with llm.serving(first_times(getattr(llm, behavior))) as server:
        generation = generate(tmp_path / "j", server, monkeypatch, labels=few)
        assert_complete(generation)
        assert len(server.requests) == 8
    # the second request states the problem, and has another seed
    second = next(seen for seen in server.requests if seen.time == 1)
    assert problem in second.body["messages"][-1]["content"]
    assert second.body["seed"] == 6
    assert generation.usage.answers == 8
    with Journal(tmp_path / "j") as journal:
        assert [len(answers) for answers in journal.answers(SAMPLING.run).values()] == [2] * 4


def test_extra_steps_are_requested_again_and_extra_spatio_descriptors_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llm.serving(first_times(llm.too_many)) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
        assert Counter(seen.kind for seen in server.requests) == {"spatio": 6, "temporal": 12}


def test_missing_lists_are_reported_and_the_others_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {("action 2", "spatio"), ("action 4", "temporal")}
    with llm.serving(lambda seen: llm.refused if seen.question in bad else llm.good) as server:
        generation = generate(tmp_path / "j", server, monkeypatch)
        assert Counter(seen.question for seen in server.requests if seen.question in bad) == dict.fromkeys(bad, 3)
        problems = {(question.name, question.kind): reason for question, reason in generation.problems().items()}
        assert problems == dict.fromkeys(bad, "3 answers, last problem: it was refused")
        result = generation.result("here")
        assert result.descriptors["action 2"].spatio == ()
        assert len(result.descriptors["action 2"].temporal) == 3
        # missing lists are requested again only with a higher limit
        generate(tmp_path / "j", server, monkeypatch)
        assert len(server.requests) == 10 + 6
        generate(tmp_path / "j", server, monkeypatch, Limits(concurrency=3, attempts=4))
        assert len(server.requests) == 10 + 8


def test_structured_output_is_disabled_if_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm.serving(lambda seen: llm.no_structure) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
        refused = [seen for seen in server.requests if "response_format" in seen.body]
        assert len(refused) == 1  # the first request is sent alone
        assert len(server.requests) == 13
        more = LabelSpace((*LABELS.names, "another"))
        assert_complete(generate(tmp_path / "j", server, monkeypatch, labels=more))
        assert len(server.requests) == 15  # the journal remembers it


def test_concurrency_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    active, most, lock = 0, 0, threading.Lock()
    barrier, together = threading.Barrier(3), threading.Event()

    def watched(reply: llm.Reply, seen: llm.Seen) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        if len(server.requests) > 1 and not together.is_set():  # the first request is sent alone
            barrier.wait(timeout=60)  # three concurrent requests are possible
            together.set()
        with lock:
            active -= 1
        llm.good(reply, seen)

    with llm.serving(lambda seen: watched) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
    assert most == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (llm.error(401, "bad key sk-made-up"), "does not accept the key"),
        (llm.error(403), "does not accept the key"),
        (llm.error(404, "no model 'fake'"), "has no such model or address .* no model 'fake'"),
        (
            llm.error(400, "temperature must be 1"),
            "does not accept the request: .*temperature must be 1.*--temperature null",
        ),
        (llm.error(429, headers=SOON, code="insufficient_quota"), "no credit left"),
    ],
    ids=["401", "403", "404", "400", "quota"],
)
def test_permanent_errors_end_the_run_at_once(
    fault: llm.Behavior, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llm.serving(lambda seen: fault) as server, pytest.raises(UserError, match=message) as caught:
        generate(tmp_path / "j", server, monkeypatch)
    assert len({seen.question for seen in server.requests}) == 1
    assert "sk-made-up" not in str(caught.value)


def test_a_dead_server_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = LabelSpace(tuple(f"action {k}" for k in range(100)))
    limits = Limits(concurrency=2, retries=1)
    with llm.serving(lambda seen: llm.error(500, headers=SOON)) as server:
        with pytest.raises(UserError, match=r"10 consecutive requests got no answer .* are kept"):
            generate(tmp_path / "j", server, monkeypatch, limits, many)
        assert len({seen.question for seen in server.requests}) <= 11


def test_failed_questions_do_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(seen: llm.Seen) -> llm.Behavior:
        if seen.name != "action 1":
            return llm.good
        return (
            llm.error(400, "filtered", code="content_filter") if seen.kind == "spatio" else llm.error(500, headers=SOON)
        )

    with llm.serving(script) as server:
        generation = generate(tmp_path / "j", server, monkeypatch)
    problems = generation.problems()
    assert set(problems) == {Question("action 1", "spatio"), Question("action 1", "temporal")}
    assert all(reason.startswith("no answer: ") for reason in problems.values())


def test_errors_in_responses_of_status_200_use_up_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overloaded(reply: llm.Reply, seen: llm.Seen) -> None:
        reply.send_json({"error": {"message": "Provider is overloaded", "code": 502}})

    one, limits = LabelSpace(LABELS.names[:1]), Limits(concurrency=1, retries=0, attempts=1)
    with llm.serving(lambda seen: overloaded) as server:
        problems = generate(tmp_path / "j", server, monkeypatch, limits, one).problems()
    assert len(problems) == 2
    assert all("no answer" in reason and "Provider is overloaded" in reason for reason in problems.values())
    with llm.serving(lambda seen: llm.good) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch, limits, one))


def test_errors_in_an_older_journal_use_up_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, limits = LabelSpace(LABELS.names[:1]), Limits(concurrency=1, attempts=1)
    with Journal(tmp_path / "j") as journal:
        for kind in DESCRIPTOR_KINDS:
            body = '{"error": {"message": "Provider is overloaded", "code": 502}}'
            journal.append_answer(SAMPLING.run, Answer(Question("action 0", kind), 0, body, "host"))
    with llm.serving(lambda seen: llm.good) as server:
        assert_complete(generate(tmp_path / "j", server, monkeypatch, limits, one))


def test_ctrl_c_waits_for_pending_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()

    def script(seen: llm.Seen) -> llm.Behavior:
        def interrupting(reply: llm.Reply, seen: llm.Seen) -> None:
            if not interrupted.is_set():
                interrupted.set()
                os.kill(os.getpid(), signal.SIGINT)
            llm.good(reply, seen)

        return interrupting if len(server.requests) >= 4 else llm.good

    with llm.serving(script) as server:
        with pytest.raises(UserError, match=r"Stopped\. Answers so far are kept"):
            generate(tmp_path / "j", server, monkeypatch)
        sent = len(server.requests)
        assert sent < 12
        with Journal(tmp_path / "j") as journal:
            assert len(journal.answers(SAMPLING.run)) == sent
        assert_complete(generate(tmp_path / "j", server, monkeypatch))
        assert len(server.requests) == 12


@pytest.mark.parametrize(
    "changes", [{"model": "other"}, {"temperature": 0.1}, {"seed": None}, {"per_class": 2}, {"prompt_hash": "x"}]
)
def test_other_settings_are_another_run(changes: dict[str, object]) -> None:
    from dataclasses import replace

    assert replace(SAMPLING, **changes).run != SAMPLING.run
    assert replace(SAMPLING).run == SAMPLING.run


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "No API key found: set OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "two words"}, "must be ASCII without spaces"),
        ({"OPENAI_API_KEY": "k\u00e9y"}, "must be ASCII without spaces"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "localhost:8000"}, "expected a URL such as"),
    ],
)
def test_the_environment_is_checked(variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        Server(LIMITS)


def test_a_custom_server_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "  \n")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:secret@localhost:1/v1")
    server = Server(LIMITS)
    assert server.host == "localhost:1"
    asyncio.run(server.client.close())


@pytest.mark.parametrize("name", ["concurrency", "timeout", "retries", "attempts", "max_words"])
def test_limits_are_checked(name: str) -> None:
    with pytest.raises(UserError, match=rf"limits\.{name} is -1, expected at least"):
        Limits(**{name: -1})


def test_the_estimate_counts_missing_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def estimate() -> Sequence[int]:
        with Journal(tmp_path / "j") as journal:
            found = Generation(LABELS, PROMPTS, SAMPLING, LIMITS, journal).estimate()
        return found.requests, found.answered, found.prompt_tokens, found.completion_tokens

    requests, answered, prompt_tokens, completion_tokens = estimate()
    assert (requests, answered, completion_tokens) == (12, 0, 12 * 3 * 14)
    assert 100 < prompt_tokens / requests < 300
    bad = {("action 2", "spatio")}
    with llm.serving(lambda seen: llm.refused if seen.question in bad else llm.good) as server:
        generate(tmp_path / "j", server, monkeypatch, Limits(attempts=1))
    assert estimate()[:2] == (1, 11)
