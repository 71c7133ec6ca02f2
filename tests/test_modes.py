"""Ways of training that are laid over an experiment."""

import csv
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.resources import shipped

MODES = sorted(path.stem for path in (shipped("experiments") / "modes").glob("*.yaml"))
SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--data.clips.frames=4"]
SMALL += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.slow) if mode == "compiled" else mode for mode in MODES]
)
def test_every_mode_trains_and_its_checkpoint_is_tested(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [*SMALL, f"--config=modes/{mode}"]
    short = ["--trainer.max_epochs=2", "--trainer.limit_val_batches=0"]
    few = ["--data.loading.global_batch_size=8", "--trainer.limit_train_batches=2"]
    assert main(["fit", *options, *short, *few]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    ratios = ["--trainer.callbacks=WeightEnsembling", "--trainer.callbacks.ratios=[0.2]"]
    assert main(["test", *options, *ratios, f"--ckpt_path={checkpoint}"]) == 0
    assert "ensembled_0.2" in (tmp_path / "runs" / "toyworld" / "version_1" / "metrics.csv").read_text()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_precision_tests_but_half_weights_are_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scores = []
    for run, precision in enumerate(("32-true", "bf16-true", "64-true")):
        assert main(["test", *SMALL, f"--trainer.precision={precision}"]) == 0
        with (Path("runs/toyworld") / f"version_{run}" / "metrics.csv").open(newline="") as file:
            scores.append(float(list(csv.DictReader(file))[-1]["test/unseen/top1"]))
    assert scores[0] > 0.3
    assert scores[2] == scores[0]
    assert scores[1] == pytest.approx(scores[0], abs=0.1)  # two of twenty videos
    assert main(["fit", *SMALL, "--trainer.precision=bf16-true"]) == 1
    assert "Set it to bf16-mixed" in " ".join(capsys.readouterr().err.split())
