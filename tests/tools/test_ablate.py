import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from ost_lightning.analysis import AblationTable
from ost_lightning.cli import main
from ost_lightning.resources import shipped
from tests.videos import write_video

QUIET = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0", *QUIET]
SMALL += ["--data.clips.frames=4"]
PAPER = {  # Table 4 of the paper: HMDB51, UCF101, K600
    "4a": [[50.9, 75.5, 70.8], [53.3, 76.6, 69.3], [54.5, 77.9, 72.3]],
    "4b": [[46.7, 65.3, 56.3], [53.1, 77.5, 71.6], [54.5, 77.9, 72.3]],
    "4c": [[53.8, 77.3, 72.1], [54.5, 77.9, 72.3], [53.0, 77.5, 72.6]],
    "4d": [[49.8, 74.1, 64.2], [53.5, 79.0, 71.8], [53.5, 78.9, 72.1], [54.5, 77.9, 72.3]],
    "4e": [[55.4, 80.1, 72.9], [55.9, 79.7, 75.1]],
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def table_of(run: str) -> AblationTable:
    return AblationTable.load(Path("runs/toyworld") / run / "ablation.json")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_table_4_of_a_trained_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OST_CACHE", str(Path("cache").resolve()))
    assert main(["fit", *SMALL, "--trainer.max_steps=2", "--trainer.limit_val_batches=0"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    assert main(["ablate", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    table = table_of("version_1")
    published = {part: [list(row.paper.values()) for row in table.rows if row.part == part] for part in table.parts}
    assert published == PAPER
    assert list(table.rows[0].paper) == ["HMDB51", "UCF101", "K600"]
    assert [row.name for row in table.rows if not row.top1] == ["N = 8"]  # the rendered world has four
    printed = capsys.readouterr().out
    assert "| 4a matching | category name |" in printed
    assert checkpoint in printed
    # the same figures as a separate test
    assert main(["test", *SMALL, f"--ckpt_path={checkpoint}"]) == 0
    with Path("runs/toyworld/version_2/metrics.csv").open(newline="") as file:
        tested = list(csv.DictReader(file))[-1]
    solver = next(row for row in table.rows if row.name == "OD Solver")
    ensembled = table.rows[-1]
    assert float(tested["test/unseen/top1"]) == solver.top1["unseen"]
    assert float(tested["test/unseen/ensembled_0.2/top1"]) == ensembled.top1["unseen"]
    # the logged metrics agree too
    with Path("runs/toyworld/version_1/metrics.csv").open(newline="") as file:
        logged = list(csv.DictReader(file))[-1]
    assert logged["test/unseen/ensembled_0.2/top1"] == tested["test/unseen/ensembled_0.2/top1"]
    assert main(["ablate", *SMALL, f"--ckpt_path={checkpoint}", "--output", "elsewhere"]) == 0
    assert AblationTable.load(Path("elsewhere/ablation.json")) == table
    assert main(["ablate", "--mean", "elsewhere/ablation.json", "runs/toyworld/version_1/ablation.json"]) == 0
    assert re.search(r"category name \| [\d.]+ ± 0\.0 \| 50\.9", capsys.readouterr().out)


def small_table(folder: Path, **setting: object) -> list[str]:
    """Creates four videos, one of them unreadable, and a table with one row; returns the command line."""
    videos = folder / "videos"
    for k in range(4):
        write_video(videos / f"{k}.mp4", 10, width=64, height=64, seed=k)
    (videos / "3.mp4").write_text("not a video")
    (videos / "test.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\n3.mp4 1\n")
    (videos / "classes.txt").write_text("juggling\nswimming\n")
    row = {"matcher": "CategoryName", "rows": [{"part": "a", "name": "names"}], **setting}
    (folder / "rows.yaml").write_text(yaml.safe_dump({"ablation": {"settings": [row]}}))
    options = [
        "--model.video_clip.pretrained=tiny",
        "--model.matcher=CategoryName",
        "--data.clips.short_side=54",
        "--data.clips.crop_size=48",
    ]
    options += ["--data.loading.workers=0", "--trainer.accelerator=cpu", "--trainer.precision=32", *QUIET]
    return ["ablate", "--config=own_videos", "--table=rows.yaml", *options]


def test_unreadable_videos_follow_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    command = small_table(Path())
    assert main(command) == 1
    assert "videos/3.mp4" in capsys.readouterr().err
    assert not list(Path("runs").rglob("ablation*"))
    for _ in range(2):  # with an empty and with a full cache
        with pytest.warns(UserWarning, match=r"videos/3\.mp4"):
            assert main([*command, "--data.loading.on_decode_error=count", "--output=found"]) == 0
        table = AblationTable.load(Path("found/ablation.json"))
        assert (table.sets["own"].videos, table.sets["own"].undecodable) == (4, 1)
        assert "4 videos of 2 classes, 1 of them unreadable" in capsys.readouterr().out
        with Path("found/ablation_videos.csv").open(newline="") as file:
            assert [row["video"] for row in csv.DictReader(file)] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    assert table.world.startswith("real videos, tiny CLIP")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`ost ablate` needs an experiment"),
        (["--config=nonsense"], "no experiment file nonsense"),
        (["--config=toyworld", "--table=nonsense"], "no ablation table nonsense. Expected the path of .*table4"),
        (["--config=toyworld", "--ckpt_path=nope.ckpt"], "no checkpoint nope.ckpt"),
        (["--config=toyworld", "--data.drow=1"], "drow"),
        (["--config=toyworld", "--data.loading.embedding_cache_gigabytes=much"], "embedding_cache_gigabytes.*much"),
        (["--mean", "nope.json"], "nope.json is not the ablation.json"),
        (["--mean", "nope.json", "--data.draw=1"], "no option --data.draw. Usage: `ost ablate --mean MEAN"),
    ],
)
def test_mistakes_are_reported(arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", *arguments]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error)
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"matcher": "CategoryNam"}, "CategoryNam"),
        ({"ratios": 0.2}, "ratios"),
        ({"ratio": "much"}, "ratio"),
        ({"ratio": 1.5}, "share of the original weights"),
        ({"templates": "nonsense"}, "no sentence templates 'nonsense'"),
        ({"label_spaces": {"own": "nonsense"}}, "no label space 'nonsense'"),
        ({"label_spaces": {"other": "hmdb51"}}, "evaluation set other, which this experiment doesn't have"),
        ({"rows": [{"part": "a", "name": "b", "paper": {"HMDB51": "good"}}]}, "good"),
    ],
)
def test_mistakes_in_a_table_are_reported(
    setting: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # told before a model is loaded
    assert main([*small_table(Path(), **setting), "--model.video_clip.pretrained=nobody/nothing"]) == 1
    assert message in " ".join(capsys.readouterr().err.split("ost: ")[-1].split())


def test_the_users_options_override_the_table_and_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--config=toyworld", "--ablation.source=mine", "--print_config"]
    for more, cache in (([], 10.0), (["--data.loading.embedding-cache-gigabytes=1.5"], 1.5)):
        with pytest.raises(SystemExit):
            main(["ablate", *options, *more, "--table=table4"])
        config = yaml.safe_load(capsys.readouterr().out)
        assert config["data"]["init_args"]["loading"]["embedding_cache_gigabytes"] == cache
        assert config["ablation"]["source"] == "mine"
        assert len(config["ablation"]["settings"]) > 5


def test_every_shipped_table_only_configures_the_ablation() -> None:
    files = sorted((shipped("experiments") / "ablations").glob("*.yaml"))
    assert files
    for file in files:
        assert set(yaml.safe_load(file.read_text())) == {"ablation"}


def test_parts_of_the_recipe_are_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["ablate", *SMALL, "--table=ost_plus", "--print_config"])
    assert stop.value.code == 0
    settings = yaml.safe_load(capsys.readouterr().out)["ablation"]["settings"]
    recipe = yaml.safe_load((shipped("experiments") / "presets/ost_plus.yaml").read_text())
    terms = recipe["model"]["init_args"]["matcher"]["init_args"]["terms"]
    shown = {row["name"]: one["matcher"]["init_args"]["terms"] for one in settings for row in one["rows"]}
    assert shown["both"] == shown["Eq. 13"] | terms
    assert len(shown) == 4


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("trained", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_parts_of_the_recipe_are_scored_one_by_one(trained: bool, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*SMALL, "--config=presets/ost_plus"]
    if trained:
        options += ["--data.difficulty=hard", "--data.loading.global_batch_size=4"]
        assert main(["fit", *options, "--trainer.max_steps=1", "--trainer.limit_val_batches=0"]) == 0
        options += ["--ckpt_path=last"]
    assert main(["ablate", *options, "--table=ost_plus"]) == 0
    run = f"version_{int(trained)}"
    table = table_of(run)
    assert [row.name for row in table.rows] == ["Eq. 13", "transported terms only", "evidence for the order", "both"]
    found = [row.top1["unseen"] for row in table.rows]
    assert all(0 < top1 < 1 for top1 in found)
    assert len(set(found)) > 1
    assert "| OST+ one by one | Eq. 13 |" in capsys.readouterr().out
    # the experiment's own matcher is the recipe, so that it has to agree with the last row
    with Path(f"runs/toyworld/{run}/metrics.csv").open(newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["test/unseen/top1"]) == found[-1]
    assert not Path("wandb").exists()
