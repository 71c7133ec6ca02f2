import csv
import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.cli import main

SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
OST_ON_TEXT4VIS = [
    "--model=SupervisedRecognition",
    "--model.video_clip.freeze_text=true",
    "--model.video_clip.temporal_head=TemporalTransformer",
    "--model.video_clip.temporal_head.layers=2",
    "--model.video_clip.temporal_head.pool=false",
    "--model.optimisation.new_modules_factor=10",
    "--model.label_smoothing=0.1",
    "--model.mixing.mixup=0.8",
    "--data.clips.rand_augment=[2,9]",
]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in a folder that holds nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def rows(run: str) -> list[dict[str, str]]:
    with (Path(run) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_supervised_fit_checkpoint_test_gives_the_same_metric() -> None:
    options = [*SMALL, *OST_ON_TEXT4VIS]
    assert main(["fit", *options, "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    validated = [row["val/seen/top1"] for row in rows("runs/toyworld/version_0") if row["val/seen/top1"]]
    head = [name for name in torch.load(checkpoint, weights_only=True)["state_dict"] if "temporal_head" in name]
    assert head
    assert main(["validate", *options, f"--ckpt_path={checkpoint}"]) == 0
    assert rows("runs/toyworld/version_1")[-1]["val/seen/top1"] == validated[-1]
    # the mixture with the original weights has a head, too, though that has no original
    assert main(["test", *options, f"--ckpt_path={checkpoint}"]) == 0
    assert 0 <= float(rows("runs/toyworld/version_2")[-1]["test/unseen/ensembled_0.2/top1"]) <= 1
