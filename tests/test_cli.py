"""Experiments through the command line: every shipped file parses, and runs write their files."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.resources import shipped
from tests.printed_settings import printed_settings
from tests.small_experiments import SMALL, metrics, own_videos

# only experiments set the class of data; the other files are overlays
DATA_CLASS = "\ndata:\n  class_path:"
EXPERIMENTS = sorted(path for path in shipped("experiments").rglob("*.yaml") if DATA_CLASS in path.read_text())


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


@pytest.mark.parametrize(
    ("verb", "path"),
    [*(("fit", path) for path in EXPERIMENTS), *((verb, EXPERIMENTS[0]) for verb in ("validate", "test", "predict"))],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_every_experiment_parses(verb: str, path: Path) -> None:
    printed = printed_settings(verb, f"--config={path.relative_to(shipped('experiments')).with_suffix('')}")
    assert printed["model"]["class_path"].startswith("ost_lightning.tasks.")
    assert printed["data"]["class_path"].startswith("ost_lightning.datamodules.")
    # the printed configuration is valid input
    Path("again.yaml").write_text(yaml.safe_dump(printed))
    with pytest.raises(SystemExit) as stop:
        main([verb, "--config", "again.yaml", "--print_config"])
    assert stop.value.code == 0


def test_fit_checkpoint_test_gives_the_same_metric_in_separate_folders() -> None:
    assert main(["fit", *SMALL, "--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=2"]) == 0
    run = Path("runs/toyworld/version_0")
    validated = [row["val/seen/top1"] for row in metrics(run) if row["val/seen/top1"]]
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert main(["validate", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    assert metrics(Path("runs/toyworld/version_1"))[-1]["val/seen/top1"] == validated[-1]
    assert main(["test", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    tested = metrics(Path("runs/toyworld/version_2"))[-1]
    assert float(tested["test/unseen/videos"]) == 20
    assert "test/unseen/ensembled_0.2/top1" in tested
    assert main(["predict", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    with Path("runs/toyworld/version_3/predictions.csv").open(newline="") as file:
        right = [row["class_1"] == row["label"] for row in csv.DictReader(file)]
    assert float(tested["test/unseen/top1"]) == pytest.approx(sum(right) / 20)
    # every run has a separate folder and its configuration
    runs = sorted(Path("runs/toyworld").iterdir())
    assert [run.name for run in runs] == [f"version_{number}" for number in range(4)]
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["model"]["init_args"]["matcher"]["init_args"]["epsilon"] == 0.1
        assert config["data"]["init_args"]["test_clips"] == 1
        assert config["seed_everything"] == 0


def test_a_fast_dev_run_writes_nothing() -> None:
    for verb in ("fit", "test", "predict"):
        assert main([verb, *SMALL, "--trainer.fast_dev_run=true"]) == 0
    assert not [path for path in Path().rglob("*") if path.is_file()]


def test_a_checkpoint_has_its_configuration_and_does_not_override_the_user(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["fit", *SMALL, "--trainer.max_steps=1", "--model.matcher.epsilon=0.3"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    with caplog.at_level("INFO"):
        assert main(["test", *SMALL, f"--ckpt_path={checkpoint}", "--model.matcher.epsilon=0.2"]) == 0
    assert "try installing" not in caplog.text
    config = yaml.safe_load(Path("runs/toyworld/version_1/config.yaml").read_text())
    assert config["model"]["init_args"]["matcher"]["init_args"]["epsilon"] == 0.2
    printed = capsys.readouterr().err + caplog.text
    assert "epsilon is 0.2 in this run; the checkpoint was trained with 0.3" in printed
    # checkpoints contain their configuration, and data only
    trained = yaml.safe_load(torch.load(checkpoint, weights_only=True)["ost_config"])
    assert trained["model"]["init_args"]["matcher"]["init_args"]["epsilon"] == 0.3
    assert yaml.safe_load(Path("runs/toyworld/version_0/config.yaml").read_text())["weights_only"] is True


def test_own_videos_and_classes(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    options = [*own_videos(Path("videos")), "--model.optimizer.learning_rate=1e-3"]
    assert main(["fit", *options, "--trainer.max_epochs=2"]) == 0
    irrelevant = ("Total length of `list`", "smaller than the logging interval")
    assert not [warning for warning in recwarn if any(words in str(warning.message) for words in irrelevant)]
    assert main(["test", *options, "--ckpt_path=runs/own_videos/version_0/checkpoints/last.ckpt"]) == 0
    assert float(metrics(Path("runs/own_videos/version_1"))[-1]["test/own/videos"]) == 4
    message = "No checkpoint given: using the weights of tiny without fine-tuning."
    with caplog.at_level("INFO"):
        for verb in ("test", "predict"):
            assert main([verb, *options]) == 0
            checkpoint = "runs/own_videos/version_0/checkpoints/last.ckpt"
            assert f"{message} To use {checkpoint}, add --ckpt_path last." in caplog.text
            caplog.clear()
        assert main(["predict", *options, "--ckpt_path=last"]) == 0
        assert message not in caplog.text
    untrained, trained = (Path(f"runs/own_videos/version_{k}/predictions.csv").read_text() for k in (3, 4))
    assert "juggling" in trained
    assert trained != untrained


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OST_TRACEBACK", "1")
    with pytest.raises(UserError, match="nonsense"):
        main(["test", "--config=nonsense"])


def test_warnings_are_sentences_without_code(tmp_path: Path) -> None:
    space = tmp_path / "space"
    space.mkdir()
    (space / "classes.txt").write_text("archery\n")
    entry = {"spatio": ["a bow"], "temporal": ["an arrow flies"]}
    (space / "descriptors.json").write_text(
        json.dumps({"provenance": {}, "classes": {"archery": entry, "surf\u202eing": entry}})
    )
    command = [sys.executable, "-m", "ost_lightning", "descriptors", "diff", str(space), str(space)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = {line for line in done.stderr.splitlines() if line}
    assert line.startswith("warning: ")
    assert "surf\\u202eing" in line


def test_toyworld_render_prints_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toyworld", "render", "--group=order", "--clips_per_class=1"]) == 0
    folder = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert folder.is_relative_to(os.environ["OST_CACHE"])
    assert len(list(folder.glob("*.mp4"))) == 20
