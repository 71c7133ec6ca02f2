from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ost_lightning.callbacks import ExactResume, ResumableCheckpoint, TrajectoryAverage
from ost_lightning.callbacks.training.trajectory_average import average_in
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import TemporalTransformer, VideoCLIP
from ost_lightning.tasks import OptimizerSettings, StructureDistillation, SupervisedRecognition
from tests.callbacks.evaluation.test_weight_ensembling import world
from tests.tasks.test_supervised import OneBatch, trainer


class Weights(Callback):
    """Keeps the weights after each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        named = pl_module.video_clip.named_parameters()
        self.epochs.append({name: weight.detach().clone() for name, weight in named})


def task(head: Any = None) -> SupervisedRecognition:
    torch.manual_seed(0)
    optimizer = OptimizerSettings(learning_rate=1e-3, schedule="constant", warmup_fraction=0)
    clip = VideoCLIP("tiny", temporal_head=head)
    term = StructureDistillation(momentum=0.5)
    return SupervisedRecognition(clip, CategoryName(), optimizer=optimizer, regularizers=[term])


def fit(
    module: SupervisedRecognition, folder: Path, epochs: int, resume: Path | None = None, *more: Callback
) -> tuple[Weights, Path]:
    torch.manual_seed(0)
    weights = Weights()
    callbacks = [ExactResume(), TrajectoryAverage(), weights, *more, ResumableCheckpoint()]
    options = {"enable_checkpointing": True, "max_epochs": epochs, "limit_val_batches": 0, "callbacks": callbacks}
    trainer(folder, **options).fit(module, datamodule=OneBatch(), ckpt_path=resume, weights_only=True)
    return weights, folder / "checkpoints" / "last.ckpt"


def test_average_has_equal_shares_of_the_original_and_all_epochs_and_is_resumed(tmp_path: Path) -> None:
    head = lambda width: TemporalTransformer(width, layers=1, positions=4)  # noqa: E731
    weights, last = fit(task(head), tmp_path / "whole", 3)
    average = average_in(last)
    assert average is not None
    original = VideoCLIP("tiny").original_parameters()
    for name, found in average.items():
        before = [original[name]] if name in original else []  # a new head has no original weights
        expected = torch.stack([*before, *(epoch[name] for epoch in weights.epochs)]).mean(0)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert average.keys() == weights.epochs[0].keys()
    _, first = fit(task(head), tmp_path / "pieces", 1)
    fit(task(head), tmp_path / "pieces", 3, first)
    resumed = average_in(first)
    assert resumed is not None
    for name, found in average.items():
        torch.testing.assert_close(resumed[name], found, rtol=1e-5, atol=1e-7)


def test_a_test_scores_the_average_as_a_test_of_its_own_file_does(tmp_path: Path) -> None:
    _, last = fit(task(), tmp_path, 2)

    def scores(checkpoint: Path, *callbacks: Callback) -> dict[str, Tensor]:
        run = trainer(tmp_path / "test", callbacks=list(callbacks))
        run.test(module := task(), datamodule=world(), ckpt_path=checkpoint, verbose=False, weights_only=True)
        assert not module.scorers
        assert module.weight_sets.names == ("as trained",)
        return dict(run.callback_metrics)

    together = scores(last, TrajectoryAverage())
    file = last.with_name("trajectory_average.ckpt")
    alone = scores(file)
    for figure in ("top1", "top5", "videos"):
        assert together[f"test/unseen/trajectory_average/{figure}"] == alone[f"test/unseen/{figure}"]
    saved = torch.load(file, weights_only=True)
    assert not {"optimizer_states", "callbacks", "loops", "ost_regularizers"} & saved.keys()
    assert all(name.startswith("video_clip.") for name in saved["state_dict"])
    averaged = average_in(last)
    assert averaged is not None
    clip = VideoCLIP("tiny", init_from=file)
    assert all(torch.equal(weight, averaged[name]) for name, weight in clip.named_parameters())


def test_weights_without_an_average_are_scored_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = trainer(tmp_path, callbacks=[TrajectoryAverage()])
    with caplog.at_level("INFO"):
        run.test(task(), datamodule=world(), verbose=False)
    assert "TrajectoryAverage has nothing to score" in caplog.text
    assert not any("trajectory_average" in name for name in run.callback_metrics)


def test_an_average_is_not_resumed_from_a_training_without_it(tmp_path: Path) -> None:
    options = {"max_epochs": 1, "limit_val_batches": 0}
    run = trainer(tmp_path, **options)
    run.fit(task(), datamodule=OneBatch())
    run.save_checkpoint(tmp_path / "plain.ckpt")
    with pytest.raises(UserError, match="contains no average, because it was trained without TrajectoryAverage"):
        fit(task(), tmp_path, 2, tmp_path / "plain.ckpt")
