import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from ost_lightning.callbacks import OrderReport, ResultsWriter, WeightEnsembling
from ost_lightning.cli import main
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver, TransportProblem
from ost_lightning.models import TemporalTransformer, VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from tests.callbacks.evaluation.test_descriptor_usage import videos
from tests.callbacks.evaluation.test_weight_ensembling import tuned_task
from tests.small_experiments import metrics, own_videos

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def trainer(folder: Path, *callbacks: object) -> Trainer:
    return Trainer(**QUIET, default_root_dir=folder, callbacks=list(callbacks))


@pytest.mark.filterwarnings("ignore:.*(broken|not converged)")
def test_the_report_covers_all_weights_and_agrees_with_the_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    task = tuned_task()
    prior = TransportProblem(order_sigma=0.1)
    matcher = OptimalDescriptorSolver(temporal=prior, max_iterations=1, tolerance=1e-9)
    task = ContrastiveRecognition(task.video_clip, matcher, descriptors_per_class=2)
    # it comes first, but covers the mixtures of the callback behind it
    running = trainer(tmp_path, OrderReport(shuffles=3, seed=4), WeightEnsembling([0.5]), ResultsWriter())
    running.test(task, datamodule=videos(tmp_path), verbose=False)
    assert not task.scorers  # a second test starts anew
    results = json.loads((tmp_path / "results.json").read_text())["sets"]["own"]
    assert list(results["scores"]) == list(results["order"]) == ["as trained", "ensembled_0.5"]
    with (tmp_path / "own_order.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for weights, found in results["order"].items():
        assert found["top1"] == results["scores"][weights]["top1"]  # with the broken video as a wrong one
        assert (found["shuffles"], found["seed"]) == (3, 4)
        assert found["shuffled"] * 15 == pytest.approx(round(found["shuffled"] * 15), abs=1e-4)
        classes = [row for row in rows if row["weights"] == weights]
        assert {row["class"]: int(row["videos"]) for row in classes} == {"juggling": 3, "swimming": 2}
        for figure in ("top1", "reversed", "shuffled"):
            right = sum(float(row[figure]) * int(row["videos"]) for row in classes)
            assert right == pytest.approx(5 * found[figure], abs=1e-3)
        middle = "" if weights == "as trained" else f"{weights}/"
        for figure in ("reversed", "shuffled"):
            logged = float(running.callback_metrics[f"test/own/{middle}top1_{figure}"])
            assert logged == pytest.approx(found[figure], abs=1e-6)
    assert "Order of frames" in (tmp_path / "results.md").read_text()
    assert "| own | ensembled_0.5 |" in capsys.readouterr().out
    # the results of a test without a report are those of before
    trainer(tmp_path, WeightEnsembling([0.5]), ResultsWriter()).test(task, datamodule=videos(tmp_path), verbose=False)
    assert json.loads((tmp_path / "results.json").read_text())["sets"]["own"]["order"] == {}
    unconverged = [record.message for record in caplog.records if "not converged" in record.message]
    assert len(unconverged) == 2
    assert unconverged[0] == unconverged[1]


@pytest.mark.filterwarnings("ignore:.*broken")
def test_related_frames_are_scored_from_pixels_even_if_embeddings_are_cached(tmp_path: Path) -> None:
    clip = VideoCLIP("tiny", temporal_head=TemporalTransformer)
    torch.nn.init.normal_(clip.temporal_head.positions.weight)
    task = ContrastiveRecognition(clip, CategoryName())
    for callbacks in ((), (OrderReport(1), ResultsWriter()), ()):
        data = videos(tmp_path)
        data.loading = replace(data.loading, embedding_cache_gigabytes=1.0)
        running = trainer(tmp_path, *callbacks)
        running.test(task, datamodule=data, verbose=False)
    top1 = float(running.callback_metrics["test/own/top1"])
    (found,) = json.loads((tmp_path / "results.json").read_text())["sets"]["own"]["order"].values()
    assert found["top1"] == pytest.approx(top1)


def test_the_command_has_an_option_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    options = [*own_videos(Path("videos")), "--trainer.callbacks=null"]
    assert main(["test", "--order_report", *options]) == 0
    run = Path("runs/own_videos/version_0")
    found = json.loads((run / "results.json").read_text())["sets"]["own"]["order"]["pretrained"]
    assert found["shuffles"] == 5
    # the paper's matching doesn't see the order
    assert (found["reversed"], found["shuffled"], found["error"]) == (found["top1"], found["top1"], 0)
    assert float(metrics(run)[-1]["test/own/top1_shuffled"]) == pytest.approx(found["shuffled"])
    assert "\norder_report: 5\n" in (run / "config.yaml").read_text()
    assert "own: no class depends on the order of frames" in capsys.readouterr().out
    assert main(["test", "--order_report=2", *options, "--trainer.callbacks=OrderReport"]) != 0
    assert "has an OrderReport already" in capsys.readouterr().err


def test_a_validation_has_a_report_too_but_not_during_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos(tmp_path)
    (tmp_path / "list.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 1\n3.mp4 0\n")
    listed = VideoList(tmp_path / "list.txt", str(tmp_path))
    data = VideoLists(
        tmp_path,
        train=listed,
        val={"seen": listed},
        clips=ClipSettings(frames=2, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, global_batch_size=4),
    )
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    running = trainer(tmp_path, OrderReport(2))
    running.validate(task, datamodule=data, verbose=False)
    assert {"val/seen/top1_reversed", "val/seen/top1_shuffled"} <= running.callback_metrics.keys()
    assert "| seen | as trained |" in capsys.readouterr().out
    assert (tmp_path / "seen_order.csv").read_text().count("\n") == 3
    assert not task.scorers
    training = Trainer(**{**QUIET, "default_root_dir": tmp_path / "fit"}, max_steps=1, callbacks=[OrderReport(2)])
    training.fit(task, datamodule=data)
    assert not (tmp_path / "fit" / "seen_order.csv").exists()
    assert not [key for key in training.callback_metrics if "shuffled" in key]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"OrderReport\.shuffles is 0"):
        OrderReport(shuffles=0)
    data = videos(tmp_path)
    data.clips = ClipSettings(frames=1, short_side=54, crop_size=48)
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    with pytest.raises(UserError, match=r"needs clips of 2 frames or more, but data\.clips\.frames is 1"):
        trainer(tmp_path, OrderReport()).test(task, datamodule=data, verbose=False)
