import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.text import LabelSpace
from tests.text.generation import fake_llm as llm

KEY = "sk-proj-s3cr3ts3cr3ts3cr3t"
SOON = {"retry-after-ms": "20"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def labels() -> Path:
    """Label space of nine classes, without descriptors."""
    return make_labels(9)


def test_the_publishers_spelling_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    make_labels(0)
    Path("labels/classes.txt").write_text("apply eye makeup\tApplyEyeMakeup\narchery\n")
    with llm.serving(lambda seen: llm.good) as server:
        assert generate(server, monkeypatch) == 0
    assert {seen.name for seen in server.requests} == {"apply eye makeup", "archery"}
    found = LabelSpace.load("new")
    assert (found.names, found.published) == (("apply eye makeup", "archery"), ("ApplyEyeMakeup", "archery"))


def test_a_folder_of_videos_gets_the_descriptors_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jump_rope", "juggling"):
        Path("labels/train", name).mkdir(parents=True)
    with llm.serving(lambda seen: llm.good) as server:
        assert generate(server, monkeypatch, "--output=labels") == 0
    found = LabelSpace.load("labels")
    assert (found.names, found.published) == (("juggling", "jump rope"), ("juggling", "jump_rope"))
    assert found.descriptors_of("spatio", 1)[1] == ("spatio thing 0 of jump rope",)


def test_descriptors_in_another_language(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    german = ["ein Platz mit Bäumen", "ein großer Ball", "kurze Hosen", "zwei Tore"]
    with llm.serving(lambda seen: llm.says(lambda _: json.dumps({"descriptors": german}))) as server:
        assert generate(server, monkeypatch, "--language=de") == 0
    assert all("short German phrases" in seen.body["messages"][0]["content"] for seen in server.requests)
    found = LabelSpace.load("new")
    assert (found.language, found.descriptors_of("spatio", 4)[0]) == ("de", tuple(german))
    assert found.select(["doing 3"]).language == "de"


def make_labels(count: int) -> Path:
    folder = Path("labels")
    folder.mkdir()
    (folder / "classes.txt").write_text("# made up\n" + "".join(f"doing {k}\n" for k in range(count)))
    return folder


def generate(server: llm.FakeLLM, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    return main(["descriptors", "generate", "--label-space", "labels", "--output", "new", *more])


def test_generate_writes_a_label_space(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        assert generate(server, monkeypatch, "--model=fake", "--descriptors_per_class=3", "--seed=7") == 0
        assert len(server.requests) == 18
        assert {seen.key for seen in server.requests} == {KEY}
    printed = capsys.readouterr().out
    assert "9 classes; 0 of 18 lists already written; 18 requests to send to fake: " in printed
    assert "18 answers in total; by the server's count 1,800 tokens in, 720 out" in printed
    found = LabelSpace.load("new")
    assert (found.names, found.source) == (LabelSpace.load("labels").names, "made up")
    assert found.descriptors["doing 4"].temporal == tuple(f"temporal thing {k} of doing 4" for k in range(3))
    provenance = found.provenance
    assert {
        key: provenance[key] for key in ("model", "answered_by", "temperature", "seed", "per_class", "prompts")
    } == {
        "model": "fake",
        "answered_by": "fake-llm-1",
        "temperature": 0.7,
        "seed": 7,
        "per_class": 3,
        "prompts": "ost",
    }
    assert len(provenance["prompt_hash"]) == 16
    assert provenance["date"].startswith("20")
    assert provenance["server"] == f"127.0.0.1:{server.server_port}"
    assert main(["descriptors", "check", "new"]) == 0
    assert sorted(path.name for path in Path("new").iterdir()) == ["classes.txt", "descriptors.json", "journal.jsonl"]


def test_names_are_rephrased_without_asking_for_the_descriptors_again(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        assert generate(server, monkeypatch) == 0
        assert generate(server, monkeypatch, "--rephrased-names=2") == 0
        assert [seen.kind for seen in server.requests].count("name") == 9
        assert len(server.requests) == 18 + 9
        assert generate(server, monkeypatch, "--prompts=verbs", "--rephrased-names=2") == 1
        assert generate(server, monkeypatch, "--rephrased-names=-1") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "The prompts 'verbs' can't ask for rephrased names" in said
    assert "rephrased names is -1, expected 0 or more" in said
    found = LabelSpace.load("new")
    assert found.wordings()[3] == ("doing 3", "name thing 0 of doing 3", "name thing 1 of doing 3")
    assert found.provenance["rephrased"] == 2
    assert found.provenance["usage"]["answers"] == 27


def test_a_dry_run_sends_and_writes_nothing(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with llm.serving(lambda seen: llm.good) as server:
        assert generate(server, monkeypatch, "--dry-run") == 0
        assert server.requests == []
    assert not Path("new").exists()
    printed = capsys.readouterr().out
    # 18 lists of 4 descriptors of 14 tokens
    assert re.search(r"18 requests to send to gpt-3.5-turbo: about \d,\d{3} tokens in, 1,008 out\n", printed)


def test_missing_lists_are_reported_and_requested_again(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    down = True

    def script(seen: llm.Seen) -> llm.Behavior:
        return llm.error(500, headers=SOON) if seen.name == "doing 3" and down else llm.good

    with llm.serving(script) as server:
        assert generate(server, monkeypatch, "--limits.retries=1") == 1
        message = capsys.readouterr().err
        assert "2 of 18 lists are missing: doing 3 (spatio): no answer" in message
        assert "the other lists are in new." in message
        assert "doing 3,temporal,no answer" in Path("new/incomplete.csv").read_text()
        assert len(LabelSpace.load("new").descriptors) == 8
        before, down = len(server.requests), False
        assert generate(server, monkeypatch) == 0
        assert len(server.requests) == before + 2
    assert not Path("new/incomplete.csv").exists()
    assert len(LabelSpace.load("new").descriptors) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=other"], "other is a label space with other classes"),
        (["--output=written"], "written contains descriptors that were not generated there"),
        (["--descriptors_per_class=0"], "per_class is 0"),
        (["--limits.attempts=0"], "limits.attempts is 0, expected at least 1"),
        (["--prompts=nonsense"], "no prompts 'nonsense'"),
        (["--label_space=nonsense"], "no label space 'nonsense'"),
    ],
)
def test_mistakes(
    labels: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    LabelSpace(("x",)).save(Path("other"))
    written = LabelSpace.load("hmdb51")
    LabelSpace(LabelSpace.load("labels").names, {"doing 1": written.descriptors["kick"]}).save(Path("written"))
    with llm.serving(lambda seen: llm.good) as server:
        assert generate(server, monkeypatch, *arguments) == 1
        assert server.requests == []
    assert message in " ".join(capsys.readouterr().err.split())


def echoing(status: int) -> llm.Behavior:
    """Returns the behavior of a server that repeats the key in its error, as some do."""
    return lambda reply, seen: llm.error(status, f"Incorrect API key: {seen.key}", SOON)(reply, seen)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_the_key_is_never_written(
    status: int,
    labels: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def repeat_key(reply: llm.Reply, seen: llm.Seen) -> None:
        content = json.dumps({"descriptors": [f"{KEY} {text}" for text in seen.items()]})
        reply.send_json(llm.completion(content))

    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OST_TRACEBACK", "1")
    with llm.serving(lambda seen: repeat_key if status == 200 else echoing(status)) as server:
        trace = ""
        try:
            generate(server, monkeypatch, "--limits.retries=0")
        except Exception as error:  # noqa: BLE001 - any exception is searched for the key
            import traceback

            trace = "".join(traceback.format_exception(error))
        assert (trace == "") == (status == 200)
    captured = capsys.readouterr()
    assert KEY not in trace + captured.out + captured.err + caplog.text
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert any(path.name == "journal.jsonl" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    if status == 200:
        assert "[key] spatio thing" in Path("new/descriptors.json").read_text()


def start(server: llm.FakeLLM, *command: str) -> subprocess.Popen[bytes]:
    """Starts the generator in a separate process."""
    environment = os.environ | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}
    arguments = [sys.executable, *command]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


ALONE = """
from pathlib import Path
from ost_lightning.text.generation.settings import Limits
from ost_lightning.tools.generation import generate
generate(label_space="labels", output=Path("new"), limits=Limits(concurrency=4))
"""  # starts in a second, because it doesn't import the rest of the suite
AS_A_COMMAND = ["-m", "ost_lightning", "descriptors", "generate", "--label-space=labels", "--output=new"]


def answers_in_journal() -> list[tuple[str, str, int]]:
    """Returns class, kind and attempt of every answer on the disk."""
    file = Path("new/journal.jsonl")
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    events = [json.loads(line) for line in lines]
    return [(event["name"], event["kind"], event["attempt"]) for event in events if event["event"] == "answer"]


def requested(seen: llm.Seen) -> tuple[str, str, int]:
    """Returns class, kind and attempt of a request; the seed is the number of the attempt."""
    return seen.name, seen.kind, seen.body["seed"]


def kill_when(process: subprocess.Popen[bytes], answers: int) -> None:
    """Kills a process with SIGKILL as soon as the journal contains a number of answers."""
    deadline = time.monotonic() + 120
    while len(answers_in_journal()) < answers and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_no_answered_request_is_repeated_after_sigkill() -> None:
    make_labels(40)
    held = True

    def script(seen: llm.Seen) -> llm.Behavior:
        """Answers 30 requests; those after it hang until the generator is dead."""
        return llm.hang if held and len(server.requests) > 30 else llm.good

    with llm.serving(script) as server:
        kill_when(start(server, "-c", ALONE), answers=30)
        answered = answers_in_journal()
        assert len(answered) == 30
        held, before = False, len(server.requests)
        assert not Path("new/descriptors.json").exists()
        assert start(server, "-c", ALONE).wait(timeout=300) == 0
        resumed = [requested(seen) for seen in server.requests[before:]]
    assert not set(resumed) & set(answered)
    assert len(resumed) == len(set(resumed)) == 80 - 30
    assert LabelSpace.load("new").descriptors_of("temporal", 4)


@pytest.mark.slow
def test_no_answered_request_is_repeated_after_many_kills() -> None:
    """Answers in the journal are never requested again, whenever the generator is killed."""
    make_labels(60)
    faults = [llm.good] * 12 + [llm.error(429, headers=SOON), llm.error(500, headers=SOON), llm.too_few, llm.refused]

    def script(seen: llm.Seen) -> llm.Behavior:
        return random.Random(f"{seen.question} {seen.time}").choice(faults)

    kills = 0
    with llm.serving(script) as server:
        for answers in sorted(random.Random(0).sample(range(5, 110), 8)):
            kept, before = set(answers_in_journal()), len(server.requests)
            process = start(server, *AS_A_COMMAND, "--limits.attempts=8")
            kill_when(process, answers)
            kills += process.returncode == -signal.SIGKILL
            assert not kept & {requested(seen) for seen in server.requests[before:]}
        kept, before = set(answers_in_journal()), len(server.requests)
        assert start(server, *AS_A_COMMAND, "--limits.attempts=8").wait(timeout=300) == 0
        assert not kept & {requested(seen) for seen in server.requests[before:]}
    assert kills == 8
    assert LabelSpace.load("new").descriptors_of("temporal", 4)


FAULTS_OF_TWENTY_PERCENT = (
    [llm.good] * 40
    + [llm.error(429, headers=SOON), llm.error(429, headers={"Retry-After": "1"}), llm.error(500, headers=SOON)]
    + [llm.error(503, headers=SOON), llm.hang, llm.cut_connection, llm.broken_body]
    + [llm.cut_json, llm.too_few, llm.repeated]
)


@pytest.mark.slow
def test_make_descriptors_fills_400_classes_under_twenty_percent_of_faults() -> None:
    def script(seen: llm.Seen) -> llm.Behavior:
        return random.Random(f"{seen.question} {seen.time}").choice(FAULTS_OF_TWENTY_PERCENT)

    root = Path(__file__).parents[2]
    make = [
        "make",
        "--directory",
        str(root),
        "--old-file=.venv/.ready",
        "descriptors",
        f"OST={sys.executable} -m ost_lightning",
    ]
    out = Path("kinetics").resolve()
    options = "--limits.concurrency=32 --limits.timeout=10 --limits.attempts=8"
    with llm.serving(script) as server:
        environment = os.environ | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}
        command = [*make, "LABELS=kinetics400", f"OUT={out}", f"ARGS={options}"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # nothing is lost
    labels = LabelSpace.load(out)
    assert labels.names == LabelSpace.load("kinetics400").names
    for kind in ("spatio", "temporal"):
        for name, texts in zip(labels.names, labels.descriptors_of(kind, 4), strict=True):
            assert texts == tuple(f"{kind} thing {k} of {name}" for k in range(4))
    # no request follows a good answer, and every additional request follows a fault
    faults = sum(script(seen) is not llm.good for seen in server.requests)
    assert set(server.answered.values()) == {1}
    assert len(server.requests) == 800 + faults
    assert 0.15 < faults / len(server.requests) < 0.25
    assert KEY not in ended.stdout + ended.stderr
