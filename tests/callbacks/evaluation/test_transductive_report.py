import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.callbacks import PredictionWriter, ResultsWriter, TransductiveReport, WeightEnsembling
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.evaluation import TransductiveCache
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from tests.callbacks.evaluation.test_descriptor_usage import videos
from tests.callbacks.evaluation.test_order_report import trainer
from tests.callbacks.evaluation.test_weight_ensembling import tuned_task
from tests.small_experiments import own_videos

CACHE = TransductiveCache(capacity=1, weight=30.0)


@pytest.mark.filterwarnings("ignore:.*broken")
def test_transductive_scores_are_apart_from_all_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = ContrastiveRecognition(tuned_task().video_clip, OptimalDescriptorSolver(), descriptors_per_class=2)
    reports = TransductiveReport(CACHE), WeightEnsembling([0.5]), ResultsWriter(), PredictionWriter()
    running = trainer(tmp_path, *reports)
    running.test(task, datamodule=videos(tmp_path), verbose=False)
    own = json.loads((tmp_path / "results.json").read_text())["sets"]["own"]
    assert list(own["scores"]) == list(own["transductive"]) == ["as trained", "ensembled_0.5"]
    for score in own["transductive"].values():
        assert score["cache"] == {"capacity": 1, "weight": 30.0, "sharpness": 5.0, "online": False, "seed": 0}
        assert (score["scored"], score["undecodable"]) == (5, 1)
    logged = float(running.callback_metrics["test/own/top1_transductive"])
    assert logged == pytest.approx(own["transductive"]["as trained"]["top1"])
    loaded = RunResults.load(tmp_path / "results.json")
    assert loaded.sets["own"].transductive["as trained"].top1 == pytest.approx(logged)
    assert loaded.markdown() == (tmp_path / "results.md").read_text()
    scores, adapted = (tmp_path / "results.md").read_text().split("Transductive protocol")
    assert "transductive" not in scores.partition("| set |")[2]
    assert adapted.count("| own | ") == adapted.count(" | transductive | ") == 2
    with (tmp_path / "transductive_predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "predictions.csv").open(newline="") as file:
        inductive = list(csv.DictReader(file))
    assert [row["protocol"] for row in rows] == ["transductive"] * 5
    assert "protocol" not in inductive[0]
    assert [row["video"] for row in rows] == [row["video"] for row in inductive]
    assert [bool(row["error"]) for row in rows] == [False, True, False, False, False]
    right = sum(row["class_1"] == row["label"] for row in rows)
    assert right == pytest.approx(5 * own["transductive"]["as trained"]["top1"])
    assert any(a["probability_1"] != b["probability_1"] for a, b in zip(rows, inductive, strict=True))
    # a test without the callback has no such scores
    trainer(tmp_path, ResultsWriter()).test(task, datamodule=videos(tmp_path), verbose=False)
    assert json.loads((tmp_path / "results.json").read_text())["sets"]["own"]["transductive"] == {}
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore:.*broken")
@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_size_of_batches_changes_nothing(tmp_path: Path, batch_size: int) -> None:
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    found = []
    for size in (3, batch_size):
        data = videos(tmp_path)
        data.loading = replace(data.loading, evaluation_batch_size=size)
        report = TransductiveReport(replace(CACHE, online=True))
        trainer(tmp_path, report).test(task, datamodule=data, verbose=False)
        found.append((tmp_path / "transductive_predictions.csv").read_text())
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*broken")
def test_no_weight_repeats_the_inductive_scores(tmp_path: Path) -> None:
    running = trainer(tmp_path, TransductiveReport(TransductiveCache(weight=0)))
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    running.test(task, datamodule=videos(tmp_path), verbose=False)
    for figure in ("top1", "top5"):
        adapted, plain = (float(running.callback_metrics[f"test/own/{figure}{end}"]) for end in ("_transductive", ""))
        assert adapted == pytest.approx(plain)


def test_several_processes_are_refused() -> None:
    class TwoProcesses(Trainer):
        world_size = 2

    running = TwoProcesses(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(UserError, match="in one process, but there are 2"):
        TransductiveReport().on_test_epoch_start(running, ContrastiveRecognition(VideoCLIP("tiny"), CategoryName()))


def test_scores_that_do_not_sum_to_1_are_refused(tmp_path: Path) -> None:
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    task.video_clip.scores = "sigmoid"
    with pytest.raises(UserError, match="scores is sigmoid"):
        trainer(tmp_path, TransductiveReport()).test(task, datamodule=videos(tmp_path), verbose=False)


def test_frames_of_views_are_averaged(tmp_path: Path) -> None:
    """The cache takes one embedding per place in the clip, whatever the number of views."""
    seen = []

    class Watched(TransductiveReport):
        def _adapted(self, set_name: str, name: str, classes: int, ids: list[str]) -> torch.Tensor:
            seen.append(torch.cat(self._videos[set_name, name].frames).shape)
            return super()._adapted(set_name, name, classes, ids)

    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    with pytest.warns(UserWarning, match="broken"):
        trainer(tmp_path, Watched()).test(task, datamodule=videos(tmp_path), verbose=False)
    assert seen == [(4, 4, task.video_clip.encode_frames(torch.zeros(1, 4, 3, 48, 48, dtype=torch.uint8)).shape[-1])]


def test_the_command_takes_the_callback_and_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    settings = ["--trainer.callbacks=TransductiveReport", "--trainer.callbacks.cache.capacity=2"]
    assert main(["test", *own_videos(Path("videos")), *settings]) == 0
    run = Path("runs/own_videos/version_0")
    score = RunResults.load(run / "results.json").sets["own"].transductive["pretrained"]
    assert score.cache["capacity"] == 2
    assert (run / "transductive_predictions.csv").is_file()
