import csv
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from ost_lightning.cli import TOOLS, main
from ost_lightning.resources import shipped, tiny_clip_folder
from tests.processes import environment
from tests.videos import write_video

# the others are laid over one of these
WHOLE = "\ndata:\n  class_path:"
EXPERIMENTS = sorted(path for path in shipped("experiments").rglob("*.yaml") if WHOLE in path.read_text())
SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--data.clips.frames=4"]
SMALL += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in a folder that holds nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def last_row(run: Path) -> dict[str, str]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))[-1]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict"])
def test_every_experiment_parses(path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--config", str(path), "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["class_path"].startswith("ost_lightning.tasks.")
    assert printed["data"]["class_path"].startswith("ost_lightning.datamodules.")
    # what was printed can be given back
    Path("again.yaml").write_text(yaml.safe_dump(printed))
    with pytest.raises(SystemExit) as stop:
        main([verb, "--config", "again.yaml", "--print_config"])
    assert stop.value.code == 0


def test_fit_checkpoint_test_gives_the_same_metric() -> None:
    assert main(["fit", *SMALL, "--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=1"]) == 0
    run = Path("runs/toyworld/version_0")
    validated = [row["val/seen/top1"] for row in csv.DictReader((run / "metrics.csv").open()) if row["val/seen/top1"]]
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert main(["validate", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    assert last_row(Path("runs/toyworld/version_1"))["val/seen/top1"] == validated[-1]
    assert main(["test", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    tested = last_row(Path("runs/toyworld/version_2"))
    assert float(tested["test/unseen/videos"]) == 20
    assert 0 < float(tested["test/unseen/top1"]) <= 1
    assert "test/unseen/ensembled_0.2/top1" in tested


def test_runs_are_kept_apart_and_complete() -> None:
    for _ in range(2):
        assert main(["test", *SMALL]) == 0
    runs = sorted(Path("runs/toyworld").iterdir())
    assert [run.name for run in runs] == ["version_0", "version_1"]
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["model"]["init_args"]["matcher"]["init_args"]["epsilon"] == 0.1
        assert config["data"]["init_args"]["test_clips"] == 1
        assert config["seed_everything"] == 0


def test_a_rehearsal_writes_nothing() -> None:
    for verb in ("fit", "test", "predict"):
        assert main([verb, *SMALL, "--trainer.fast_dev_run=true"]) == 0
    assert not [path for path in Path().rglob("*") if path.is_file()]


def test_the_checkpoint_does_not_override_the_user(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["fit", *SMALL, "--trainer.max_steps=1", "--model.matcher.epsilon=0.3"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    with caplog.at_level("INFO"):
        assert main(["test", *SMALL, f"--ckpt_path={checkpoint}", "--model.matcher.epsilon=0.2"]) == 0
    assert "try installing" not in caplog.text
    config = yaml.safe_load(Path("runs/toyworld/version_1/config.yaml").read_text())
    assert config["model"]["init_args"]["matcher"]["init_args"]["epsilon"] == 0.2
    told = capsys.readouterr().err + caplog.text
    assert "epsilon is 0.2 in this run; the checkpoint was trained with 0.3" in told


def test_checkpoints_are_data_only_and_tell_their_configuration() -> None:
    assert main(["fit", *SMALL, "--trainer.max_steps=1"]) == 0
    checkpoint = torch.load("runs/toyworld/version_0/checkpoints/last.ckpt", weights_only=True)
    assert yaml.safe_load(checkpoint["ost_config"])["model"]["init_args"]["descriptors_per_class"] == 4
    assert yaml.safe_load(Path("runs/toyworld/version_0/config.yaml").read_text())["weights_only"] is True


def test_wandb_is_offline_without_a_key_and_the_key_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t" * 7)
    monkeypatch.setenv("WANDB_MODE", "offline")  # a key would go online; nothing can be reached here
    args = [argument for argument in SMALL if "wandb" not in argument]
    assert main(["fit", *args, "--trainer.max_steps=1", "--trainer.log_every_n_steps=1"]) == 0
    files = [path for path in Path("runs").rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if b"s3cr3t" in path.read_bytes()]
    assert (Path("runs/toyworld/version_0") / "metrics.csv").exists()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.delenv("WANDB_MODE")
    assert main(["test", *args]) == 0
    assert len(list(Path("runs/toyworld/wandb").glob("offline-run-*"))) == 2


def a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B at an address where nothing answers, and what `wandb login` leaves for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    Path("netrc").write_text(f"machine {address}\n  login user\n  password {'s3cr3t' * 7}\n")
    monkeypatch.setenv("NETRC", str(Path("netrc").absolute()))
    monkeypatch.setenv("WANDB_BASE_URL", f"http://{address}")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(Path.cwd()))
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    monkeypatch.delenv("WANDB_MODE", raising=False)  # left by an offline run of this process


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"WANDB_API_KEY": "s3cr3t" * 7, "NETRC": "none"}, "(?!No API key)"),
        # its agent is logged in
        pytest.param({"WANDB_SWEEP_ID": "abcdefgh"}, "(?!No API key)", marks=pytest.mark.slow),
        ({"WANDB_SWEEP_ID": "abcdefgh", "NETRC": "none"}, "No API key"),
    ],
    ids=["key", "sweep", "sweep without a login"],
)
def test_a_run_goes_on_when_wandb_cannot_be_reached(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_silent_server(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    args = [argument for argument in SMALL if "wandb" not in argument]
    with pytest.warns(UserWarning, match=rf"W&B can't be reached \({reason}"):
        assert main(["test", *args]) == 0
    assert "test/unseen/top1" in last_row(Path("runs/toyworld/version_0"))
    assert len(list(Path("runs/toyworld/wandb").glob("offline-run-*"))) == 1
    assert not [path for path in Path("runs").rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]


def test_a_stored_login_alone_sends_nothing(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    a_silent_server(monkeypatch)
    assert main(["test", *(argument for argument in SMALL if "wandb" not in argument)]) == 0
    assert not [warning for warning in recwarn if "W&B" in str(warning.message)]
    assert len(list(Path("runs/toyworld/wandb").glob("offline-run-*"))) == 1


def own_videos(folder: Path) -> list[str]:
    """A folder as `own_videos.yaml` describes it, and the options that fit the tiny CLIP."""
    folder.mkdir()
    for k in range(4):
        write_video(folder / f"{k}.mp4", 10, width=64, height=64, seed=k)
    (folder / "classes.txt").write_text("juggling\nswimming\n")
    (folder / "descriptors.json").write_text(
        '{"classes": {"juggling": {"spatio": ["a ball", "hands"], "temporal": ["throws", "catches"]}, '
        '"swimming": {"spatio": ["a pool", "water"], "temporal": ["dives", "swims"]}}}'
    )
    (folder / "train.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\n3.mp4 1\n")
    shutil.copy(folder / "train.txt", folder / "test.txt")
    return [
        "--config=own_videos",
        "--model.video_clip.pretrained=tiny",
        "--model.descriptors_per_class=2",
        "--data.clips.short_side=54",
        "--data.clips.crop_size=48",
        "--data.loading.global_batch_size=4",
        "--data.loading.workers=0",
        "--trainer.accelerator=cpu",
        "--trainer.precision=32",
        "--trainer.max_epochs=1",
        *SMALL[4:],
    ]


def test_own_videos_and_classes(caplog: pytest.LogCaptureFixture) -> None:
    options = [*own_videos(Path("videos")), "--model.optimizer.learning_rate=1e-3"]
    assert main(["fit", *options, "--trainer.max_epochs=2"]) == 0
    assert main(["test", *options, "--ckpt_path=runs/own_videos/version_0/checkpoints/last.ckpt"]) == 0
    assert float(last_row(Path("runs/own_videos/version_1"))["test/own/videos"]) == 4
    told = "no checkpoint is given: the weights are those of tiny"
    with caplog.at_level("INFO"):
        for verb in ("test", "predict"):
            assert main([verb, *options]) == 0
            instead = "--ckpt_path last takes runs/own_videos/version_0/checkpoints/last.ckpt"
            assert f"{told}, as they are; {instead}" in caplog.text
            caplog.clear()
        assert main(["predict", *options, "--ckpt_path=last"]) == 0
        assert told not in caplog.text
    untrained, trained = (Path(f"runs/own_videos/version_{k}/predictions.csv").read_text() for k in (3, 4))
    assert "juggling" in trained
    assert trained != untrained


def broken_video(options: list[str]) -> list[str]:
    Path("videos/2.mp4").write_bytes(Path("videos/2.mp4").read_bytes()[:300])
    return options


def text_as_video(options: list[str]) -> list[str]:
    Path("videos/2.mp4").write_text("not a video")
    return options


def missing_folder(options: list[str]) -> list[str]:
    return [*options, "--data.root=elsewhere"]


def line_without_label(options: list[str]) -> list[str]:
    Path("videos/test.txt").write_text("0.mp4 0\n1.mp4\n")
    return options


def label_outside(options: list[str]) -> list[str]:
    Path("videos/test.txt").write_text("0.mp4 0\n1.mp4 2\n")
    return options


def class_without_descriptors(options: list[str]) -> list[str]:
    Path("videos/classes.txt").write_text("juggling\nswimming\nflying\n")
    return options


def too_few_descriptors(options: list[str]) -> list[str]:
    return [*options, "--model.descriptors_per_class=3"]


def clip_without_weights(options: list[str]) -> list[str]:
    Path("bare").mkdir()
    shutil.copy(tiny_clip_folder() / "config.json", "bare")
    return [*options, "--model.video_clip.pretrained=bare"]


def unknown_key_in_yaml(options: list[str]) -> list[str]:
    Path("more.yaml").write_text("data:\n  init_args:\n    clips:\n      frmes: 8\n")
    return [*options, "--config=more.yaml"]


def unknown_option(options: list[str]) -> list[str]:
    return [*options, "--model.matchr=CategoryName"]


def bad_yaml(options: list[str]) -> list[str]:
    Path("more.yaml").write_text("data:\n  - [\n")
    return [*options, "--config=more.yaml"]


def empty_yaml(options: list[str]) -> list[str]:
    Path("more.yaml").write_text("# nothing yet\n")
    return [*options, "--config=more.yaml"]


def yaml_of_another_encoding(options: list[str]) -> list[str]:
    Path("more.yaml").write_bytes("tracking: {name: \u00e9t\u00e9}\n".encode("latin-1"))
    return [*options, "--config=more.yaml"]


def unknown_matcher(options: list[str]) -> list[str]:
    return [*options, "--model.matcher=OptimalSolver"]


def unknown_callback(options: list[str]) -> list[str]:
    return [*options, "--trainer.callbacks+=WeightEnsembler"]


def missing_experiment(options: list[str]) -> list[str]:
    return [*options, "--config=nonsense"]


def missing_checkpoint(options: list[str]) -> list[str]:
    return [*options, "--ckpt_path=nope.ckpt"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (broken_video, ["videos/2.mp4", "not a readable video file", "on_decode_error count"]),
        (text_as_video, ["videos/2.mp4", "not a readable video file"]),
        (missing_folder, ["elsewhere", "does not exist", "root"]),
        (line_without_label, ["videos/test.txt:2", "'1.mp4' has no label"]),
        (label_outside, ["videos/test.txt:2", "label 2 is outside the label space, which has 2 classes"]),
        (class_without_descriptors, ["1 of 3 classes", "'flying' has 0", "descriptors.json"]),
        (too_few_descriptors, ["fewer than 3 spatio descriptors", "'juggling' has 2"]),
        (clip_without_weights, ["model folder bare", "lacks weights"]),
        (unknown_key_in_yaml, ["frmes", "Did you mean 'clips.frames'?"]),
        (unknown_option, ["matchr", "Did you mean 'matcher'?"]),
        (bad_yaml, ["more.yaml:3: not valid YAML"]),
        (empty_yaml, ["more.yaml holds nothing", "Expected settings"]),
        (yaml_of_another_encoding, ["more.yaml is not UTF-8 text"]),
        (unknown_matcher, ["no class OptimalSolver", "Did you mean OptimalDescriptorSolver?"]),
        (unknown_callback, ["no class WeightEnsembler", "Did you mean WeightEnsembling?"]),
        (missing_experiment, ["no experiment file nonsense", "toyworld"]),
        (missing_checkpoint, ["no checkpoint nope.ckpt"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistakes_are_told_in_a_paragraph(
    mistake: object, told: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = mistake(own_videos(Path("videos")))
    before = {path for path in Path().rglob("*")}
    assert main(["test", *options]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    for words in told:
        assert words in message
    assert "Traceback" not in message
    written = {path for path in Path().rglob("*") if path.is_file()} - before
    assert {path.name for path in written} <= {"config.yaml", "undecodable-0.csv"}


def test_unreadable_videos_can_be_counted_as_wrong() -> None:
    options = broken_video(own_videos(Path("videos")))
    with pytest.warns(UserWarning, match="videos/2.mp4"):
        assert main(["test", *options, "--data.loading.on_decode_error=count"]) == 0
    row = last_row(Path("runs/own_videos/version_0"))
    assert (float(row["test/own/videos"]), float(row["test/own/undecodable"])) == (4, 1)
    assert float(row["test/own/top1"]) <= 0.75
    assert "2.mp4" in Path("runs/own_videos/version_0/undecodable-0.csv").read_text()


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from ost_lightning.errors import UserError

    monkeypatch.setenv("OST_TRACEBACK", "1")
    with pytest.raises(UserError, match="nonsense"):
        main(["test", "--config=nonsense"])


@pytest.mark.parametrize(
    "arguments", [["--help"], ["fit", "--help"], ["demo", "--help"], ["toyworld", "--help"], ["--version"]]
)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert capsys.readouterr().out


ALL_TOOLS = [[name] for name, tool in TOOLS.items() if isinstance(tool, str)]
ALL_TOOLS += [[group, name] for group, tools in TOOLS.items() if isinstance(tools, dict) for name in tools]


@pytest.mark.parametrize("tool", [tool for tool in ALL_TOOLS if tool[-1] != "_help"], ids=" ".join)
def test_every_tool_tells_how_it_is_used(tool: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*tool, "--help"])
    assert stop.value.code == 0
    usage = capsys.readouterr().out.replace("[options] ", "")
    assert usage.startswith(f"usage: ost {' '.join(tool)} ")


def test_what_needs_no_tensors_does_not_wait_for_pytorch() -> None:
    program = (
        "import sys\n"
        "from ost_lightning.cli import main\n"
        "main(['descriptors', 'diff', 'hmdb51', 'hmdb51'])\n"
        "print({'torch', 'lightning', 'transformers', 'torchvision'}.intersection(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["no difference", "set()"]


def test_help_names_the_tools(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "ost demo" in printed
    assert "ost toyworld" in printed


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["demo", "--nonsense"], ["fit"]])
def test_commands_that_make_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("ost: ")


def test_toyworld_render_prints_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toyworld", "render", "--group=order", "--clips_per_class=1"]) == 0
    folder = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert folder.is_relative_to(os.environ["OST_CACHE"])
    assert len(list(folder.glob("*.mp4"))) == 20
