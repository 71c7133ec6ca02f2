"""Runs that are interrupted and go on: everything must be as if they had not been."""

import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.cli import main
from tests.interruptions import Interrupted

SETTINGS = [
    "--config=toyworld",
    "--data.train_clips=2",
    "--data.test_clips=1",
    "--data.loading.workers=0",
    "--data.loading.global_batch_size=8",
    "--data.loading.max_videos_per_device=4",  # two micro-batches to a step, five steps to an epoch
    "--trainer.max_epochs=3",
    "--trainer.check_val_every_n_epoch=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.callbacks+=tests.interruptions.Dropout",
    "--checkpoint.every_n_steps=2",
]
RUN = Path("runs/toyworld/version_0")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, to compare with."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ost"])
        assert main(["fit", *SETTINGS, "--tracking.wandb=false"]) == 0
    return folder / RUN


def interruption(moment: str, step: int, how: str = "raise") -> list[str]:
    return [
        "--trainer.callbacks+=tests.interruptions.InterruptAt",
        f"--trainer.callbacks.moment={moment}",
        f"--trainer.callbacks.step={step}",
        f"--trainer.callbacks.how={how}",
    ]


def same(found: object, expected: object, where: str = "") -> None:
    """Bit for bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            same(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, value in enumerate(expected):
            same(found[k], value, f"{where}/{k}")
    else:
        assert found == expected, where


def same_run(found: Path, expected: Path) -> None:
    last, wanted = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (found, expected))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "ToyWorld"):
        same(last[part], wanted[part], part)
    rows, wanted_rows = ((run / "metrics.csv").read_text().splitlines() for run in (found, expected))
    # the trainer logs a step after the hook in which its checkpoint is written, so that one row may be missing
    missing = [row for row in wanted_rows if row not in rows]
    assert len(missing) <= 1
    assert rows == [row for row in wanted_rows if row not in missing]
    assert not list(found.rglob("*.part"))


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("before_update", 3),  # mid-epoch, with gradients accumulated; the checkpoint is a step old
        ("batch_start", 6),  # in the second epoch
        ("validation", 10),
        ("epoch_end", 15),
    ],
)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(uninterrupted: Path, moment: str, step: int) -> None:
    with pytest.raises(Interrupted):
        main(["fit", *SETTINGS, "--tracking.wandb=false", *interruption(moment, step)])
    assert main(["fit", *SETTINGS, "--tracking.wandb=false", "--ckpt_path=last"]) == 0
    assert [run.name for run in RUN.parent.iterdir()] == ["version_0"]
    same_run(RUN, uninterrupted)
