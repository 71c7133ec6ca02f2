import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from ost_lightning.callbacks import ResultsWriter
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP
from tests.videos import write_video

BASE = [
    "--config=own_videos",
    "--model.video_clip.pretrained=tiny",
    "--model.matcher=CategoryName",
    "--data.clips.short_side=54",
    "--data.clips.crop_size=48",
    "--data.loading.global_batch_size=4",
    "--data.loading.workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32",
    "--trainer.max_epochs=2",
    "--model.optimizer.learning_rate=1e-3",
    "--tracking.wandb=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
RUNS = Path("runs/own_videos")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos, lists, and a run (version_0) that was trained on four videos and validated on the test list."""
    folder = tmp_path_factory.mktemp("trained")
    odd = os.fsdecode(b"caf\xe9.mp4")  # not UTF-8
    for k, name in enumerate([*(f"{k}.mp4" for k in range(7)), odd]):
        write_video(folder / "videos" / name, 10, width=64, height=64, seed=k)
    (folder / "videos" / "classes.txt").write_text("juggling\nswimming\n")
    (folder / "videos" / "train.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\n3.mp4 1\n")
    (folder / "videos" / "test.txt").write_bytes(b"3.mp4 1\n4.mp4 0\n5.mp4 1\n6.mp4 0\ncaf\xe9.mp4 1\n")
    (folder / "best.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: ModelCheckpoint\n      init_args:\n"
        "        {monitor: val/own/top1, mode: max, save_top_k: 1, filename: best}\n"
        "    - class_path: WeightEnsembling\n"
        "data:\n  init_args:\n    val:\n      own: {list: videos/test.txt, labels: videos}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ost"])
        assert main(["fit", *BASE, "--config=best.yaml", "--seed_everything=5"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _work_in_folder_of_run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.setattr(sys, "argv", ["ost"])


def test(*options: str) -> dict[str, Any]:
    """Runs a test and returns its results."""
    assert main(["test", *BASE, *options]) == 0
    newest = max(RUNS.iterdir(), key=lambda run: int(run.name.removeprefix("version_")))
    assert (newest / "results.md").read_text().startswith(f"own_videos/{newest.name}; protocol:")
    results: dict[str, Any] = json.loads((newest / "results.json").read_text())
    return results


test.__test__ = False  # type: ignore[attr-defined]
LAST = f"--ckpt_path={RUNS}/version_0/checkpoints/last.ckpt"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_results_record_their_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    results = test(LAST, "--results.protocol=few_shot", "--data.clips.views=2", "--seed_everything=7")
    card = results["sets"]["own"]["card"]
    assert {key: card[key] for key in ("label_space", "classes", "listed", "found", "in_training")} == {
        "label_space": "videos",
        "classes": 2,
        "listed": 5,
        "found": 5,
        "in_training": 1,
    }
    assert list(card["sentences"]) == ["name"]
    assert results["checkpoint"]["training"]["sentences"] == card["sentences"]
    assert results["checkpoint"]["training"]["name_form"] == card["name_form"] == "as published"
    assert set(results["sets"]["own"]["scores"]) == {"as trained", "ensembled_0.2"}
    for name, ratio in (("as trained", 0.0), ("ensembled_0.2", 0.2)):
        score = results["sets"]["own"]["scores"][name]
        assert (score["scored"], score["undecodable"], score["ensembling_ratio"]) == (5, 0, ratio)
        assert round(5 * score["top1"], 4) == round(5 * score["top1"])
    assert results["seed"] == 7
    assert results["clips"]["frames"] == 8
    assert results["clips"]["views"] == 2
    model = results["model"]
    assert model["matcher"] == {"class": "CategoryName"}
    assert (model["pretrained"], model["pixel_statistics"], len(model["weights"])) == ("tiny", "clip", 32)
    assert model["templates"]["temporal"].startswith("A video of")
    checkpoint = results["checkpoint"]
    assert len(checkpoint["sha256"]) == 64
    assert checkpoint["selection"]["last"] is True
    training = checkpoint["training"]
    assert (training["label_space"], training["videos"], training["shots"], training["seed"]) == (
        "videos",
        4,
        [2, 2],
        5,
    )
    remarks = " ".join(results["remarks"])
    assert "best one" not in remarks
    assert "own: 1 of 5 videos were in the checkpoint's training data" in remarks
    assert "Not the protocol few_shot: own (5 videos, label space videos) is not a known list" in remarks
    printed = capsys.readouterr().out
    assert (Path("runs") / results["run"] / "results.md").read_text() in printed
    assert "DataLoader" not in printed


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_best_on_test_selection_is_reported() -> None:
    results = test(f"--ckpt_path={RUNS}/version_0/checkpoints/best.ckpt")
    selection = results["checkpoint"]["selection"]
    assert selection["by"] == "val/own/top1"
    remarks = " ".join(results["remarks"])
    assert "best one by val/own/top1, which is the test set own: best-on-test selection" in remarks


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_checkpoint_from_the_middle_of_training_is_reported() -> None:
    assert main(["fit", *BASE, "--trainer.max_epochs=3", "--trainer.limit_val_batches=0"]) == 0
    run = max(RUNS.iterdir(), key=lambda path: int(path.name.removeprefix("version_")))
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    last["global_step"] = 1
    torch.save(last, "middle.ckpt")
    results = test("--ckpt_path=middle.ckpt")
    assert any("not the last one: it was saved after step 1 of 3" in remark for remark in results["remarks"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_missing_unreadable_and_unscored_videos_are_reported() -> None:
    Path("videos/broken.mp4").write_bytes(b"x")
    Path("videos/holes.txt").write_bytes(
        Path("videos/test.txt").read_bytes() + b"broken.mp4 0\nnone.mp4 1\n./caf\xe9.mp4 1\n"
    )
    results = test(
        "--data.test={own: {list: videos/holes.txt, labels: videos}}",
        "--data.loading.on_decode_error=count",
        "--data.loading.on_missing=skip",
    )
    card, score = results["sets"]["own"]["card"], results["sets"]["own"]["scores"]["pretrained"]
    assert (card["listed"], card["found"], card["in_training"]) == (8, 7, None)
    assert (score["scored"], score["undecodable"]) == (7, 1)
    assert results["checkpoint"] is None
    remarks = " ".join(results["remarks"])
    assert "own: 1 of 8 listed videos are missing" in remarks
    assert "own: only 7 of 8 listed videos were scored" in remarks
    assert "own: 1 of 8 videos could not be read and count as wrong" in remarks
    odd = os.fsdecode(b"caf\xe9.mp4")
    repeated = f"videos/holes.txt:8 (./{odd}) is the same as videos/holes.txt:5 ({odd})."
    assert f"own repeats a video once, and each repetition counts: {repeated}" in results["remarks"]
    limited = test("--trainer.limit_test_batches=1", "--data.loading.evaluation_batch_size=2")
    assert "own: only 2 of 5 listed videos were scored." in limited["remarks"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_settings_that_differ_from_the_training_are_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    changed = ["--data.clips.frames=5", "--data.clips.resize=bilinear", "--data.clips.short_side=60"]
    changed += ["--data.clips.sample_aspect=false", "--model.video_clip.pixel_statistics=imagenet"]
    changed += ["--model.descriptors_per_class=1", "--model.templates=raw_name", "--model.video_clip.freeze_text=true"]
    start = f"--model.video_clip.init_from={RUNS}/version_0/checkpoints/last.ckpt"
    saving = f"--trainer.callbacks={{class_path: WeightEnsembling, init_args: {{save_to: {tmp_path / 'folders'}}}}}"
    with caplog.at_level("INFO"):
        for chosen in (LAST, start):
            remarks = test(chosen, *changed, saving)["remarks"][-7:]
            saving = "--trainer.callbacks=null"
            assert remarks == [
                "model.init_args.descriptors_per_class is 1 in this run; the checkpoint was trained with 4",
                "model.init_args.templates is raw_name in this run; the checkpoint was trained with ost",
                "data.clips.frames is 5 in this run; the weights were trained with 8.",
                "data.clips.short_side is 60 in this run; the weights were trained with 54.",
                "data.clips.resize is bilinear in this run; the weights were trained with bicubic.",
                "data.clips.sample_aspect is False in this run; the weights were trained with True.",
                "model.video_clip.pixel_statistics is imagenet in this run; the weights were trained with clip.",
            ]
    printed = capsys.readouterr().err + caplog.text
    assert all(printed.count(remark) == 2 for remark in remarks)  # once in each run
    # the saved folder carries the settings of the training, not those of this test
    saved = VideoCLIP(str(tmp_path / "folders" / "ensembled_0.2")).trained_with
    assert (saved.statistics_name, saved.frames, saved.short_side, saved.sample_aspect) == ("clip", 8, 54, True)
    same = test(LAST, "--model.video_clip.pixel_statistics=clip", "--data.clips.resize=bicubic")["remarks"]
    assert not [remark for remark in same if "in this run" in remark]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_training_records_its_initial_weights() -> None:
    start = f"--model.video_clip.init_from={RUNS}/version_0/checkpoints/last.ckpt"
    tested, initialized = test(LAST), test(start)
    assert initialized["model"]["weights"] == tested["model"]["weights"] != test()["model"]["weights"]
    assert initialized["sets"]["own"]["card"]["in_training"] == 1
    Path("videos/other.txt").write_text("4.mp4 0\n5.mp4 1\n")
    options = [start, "--data.train={list: videos/other.txt, labels: videos}", "--data.loading.global_batch_size=2"]
    assert main(["fit", *BASE, *options]) == 0
    run = max(RUNS.iterdir(), key=lambda path: int(path.name.removeprefix("version_")))
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2  # a new schedule
    results = test(f"--ckpt_path={checkpoint}")
    assert results["checkpoint"]["training"]["before"]["videos"] == 4
    settings = results["checkpoint"]["settings"]
    assert settings["global_batch_size"] == 2
    assert settings["trainer"]["max_epochs"] == 2
    assert settings["model"]["init_args"]["optimizer"]["learning_rate"] == 1e-3
    assert results["sets"]["own"]["card"]["in_training"] == 3  # 3.mp4 before, 4.mp4 and 5.mp4 now


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_training_resumed_with_other_videos_has_seen_both() -> None:
    Path("videos/other.txt").write_text("4.mp4 0\n5.mp4 1\n4.mp4 0\n5.mp4 1\n")
    for train in ("other", "train"):
        options = [LAST, f"--data.train={{list: videos/{train}.txt, labels: videos}}", "--trainer.max_epochs=3"]
        assert main(["fit", *BASE, *options, "--trainer.limit_val_batches=0"]) == 0
        run = max(RUNS.iterdir(), key=lambda path: int(path.name.removeprefix("version_")))
        results = test(f"--ckpt_path={run}/checkpoints/last.ckpt")
        training = results["checkpoint"]["training"]
        changed = train == "other"
        assert (training["before"]["videos"] if training["before"] else None) == (4 if changed else None)
        assert results["sets"]["own"]["card"]["in_training"] == (3 if changed else 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_initial_folder_is_recorded_by_name() -> None:
    VideoCLIP("tiny").save_pretrained(Path("tuned_elsewhere"))
    alone = test("--model.video_clip.pretrained=tuned_elsewhere")
    assert list(alone["sets"]["own"]["scores"]) == ["pretrained"]
    Path("videos/other.txt").write_text("4.mp4 0\n5.mp4 1\n")
    options = ["--data.train={list: videos/other.txt, labels: videos}", "--data.loading.global_batch_size=2"]
    elsewhere = "--model.video_clip.pretrained=tuned_elsewhere"
    for start in (["--model.video_clip.init_from=tuned_elsewhere"], [elsewhere, "--model.video_clip.tuned_from=tiny"]):
        assert main(["fit", *BASE, *options, *start, "--trainer.max_steps=1", "--trainer.limit_val_batches=0"]) == 0
        run = max(RUNS.iterdir(), key=lambda path: int(path.name.removeprefix("version_")))
        results = test(f"--ckpt_path={run}/checkpoints/last.ckpt")
        assert results["checkpoint"]["training"]["before"] == {"weights": "tuned_elsewhere"}
        assert results["sets"]["own"]["card"]["in_training"] == 2


def test_other_modules_are_rejected(tmp_path: Path) -> None:
    trainer = Trainer(
        callbacks=[ResultsWriter()],
        logger=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_progress_bar=False,
    )
    with pytest.raises(UserError, match="ResultsWriter works on recognition tasks"):
        trainer.test(BoringModel(), verbose=False)
