"""Ways of training that are laid over an experiment."""

from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.resources import shipped

MODES = sorted(path.stem for path in (shipped("experiments") / "modes").glob("*.yaml"))
SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
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
    assert main(["fit", *options, "--trainer.max_epochs=2", "--trainer.limit_val_batches=0"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    ratios = ["--trainer.callbacks=WeightEnsembling", "--trainer.callbacks.ratios=[0.2]"]
    assert main(["test", *options, *ratios, f"--ckpt_path={checkpoint}"]) == 0
    assert "ensembled_0.2" in (tmp_path / "runs" / "toyworld" / "version_1" / "metrics.csv").read_text()
