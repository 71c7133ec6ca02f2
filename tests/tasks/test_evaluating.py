import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from ost_lightning.callbacks import Ablation, AblationSetting, DescriptorUsage, PredictionWriter, ShownRow
from ost_lightning.datamodules import ClipSettings, LoadingSettings, ToyWorld
from ost_lightning.errors import NonFiniteError, UserError
from ost_lightning.evaluation import EvaluationLoader
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models import TemporalTransformer, VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.text import Descriptors, LabelSpace

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def loaders() -> list[EvaluationLoader]:
    data = ToyWorld(
        train_clips=1,
        test_clips=1,
        clips=ClipSettings(frames=2, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, evaluation_batch_size=8),
    )
    data.prepare_data()
    data.setup("test")
    return data.test_dataloader()


def trainer(folder: Path, **options: object) -> Trainer:
    return Trainer(**{"accelerator": "cpu", "default_root_dir": folder, **QUIET, **options})


def task() -> ContrastiveRecognition:
    return ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_every_listed_video_has_to_be_scored(tmp_path: Path, stage: str) -> None:
    def run(listed: int, **options: object) -> dict[str, Tensor]:
        changed = loaders()
        changed[0].set = replace(changed[0].set, listed=listed)
        running = trainer(tmp_path, **options)
        getattr(running, stage)(task(), dataloaders=changed, verbose=False)
        return running.callback_metrics

    prefix = f"{'val' if stage == 'validate' else 'test'}/unseen"
    assert int(run(20)[f"{prefix}/videos"]) == 20
    for listed in (19, 21):
        with pytest.raises(RuntimeError, match=rf"{prefix}: 20 videos were scored, but {listed} are listed"):
            run(listed)
    # unless the user limited the batches
    for limit in (1, 0.5):
        assert int(run(20, limit_test_batches=limit, limit_val_batches=limit)[f"{prefix}/videos"]) == 8


def test_names_that_are_the_same_text_are_told_at_the_start(tmp_path: Path) -> None:
    changed = loaders()
    labels = changed[0].set.labels
    alike = replace(labels, names=(labels.names[1].upper(), *labels.names[1:]), published=())
    changed[0].set = replace(changed[0].set, labels=alike)
    with pytest.warns(
        UserWarning, match=f"same text for the tokenizer of tiny: '{alike.names[0]}' = '{alike.names[1]}'"
    ):
        trainer(tmp_path, limit_test_batches=1).test(task(), dataloaders=changed, verbose=False)


class Stop(Callback):
    def on_predict_batch_end(self, *_: object) -> None:
        raise RuntimeError("in the middle")


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_second_prediction_uses_the_current_weights(tmp_path: Path, interrupted: bool) -> None:
    module, fresh = task(), task()
    with torch.no_grad():
        for changed in fresh.parameters():
            changed.add_(0.05 * torch.randn(changed.shape, generator=torch.Generator().manual_seed(0)))
    before = None
    if interrupted:
        with pytest.raises(RuntimeError, match="in the middle"):
            trainer(tmp_path, callbacks=[Stop()]).predict(module, dataloaders=loaders())
    else:
        before = trainer(tmp_path).predict(module, dataloaders=loaders())
    module.load_state_dict(fresh.state_dict())
    after = trainer(tmp_path).predict(module, dataloaders=loaders())
    assert after == trainer(tmp_path).predict(fresh, dataloaders=loaders())
    assert after != before


class Recording(CategoryName):
    """Records its inputs' types, and whether it computes in mixed precision."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[Any, ...]] = set()

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        self.seen.add((torch.is_autocast_enabled("cpu"), frames.dtype, *(rows.dtype for rows in texts)))
        found = super().forward(frames, *texts)
        self.seen.add((found.dtype,))
        return found


def test_videos_are_matched_in_full_precision(tmp_path: Path) -> None:
    module = ContrastiveRecognition(VideoCLIP("tiny"), Recording())
    short = {"precision": "bf16-mixed", "limit_test_batches": 1, "limit_val_batches": 0, "max_steps": 1}
    trainer(tmp_path, **short).test(module, dataloaders=loaders(), verbose=False)
    data = ToyWorld(
        train_clips=1,
        test_clips=1,
        clips=ClipSettings(frames=2, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, global_batch_size=4),
    )
    trainer(tmp_path, **short).fit(module, datamodule=data)
    assert module.matcher.seen == {(False, torch.float32, torch.float32), (torch.float32,)}


def test_loaders_without_an_evaluation_set_are_rejected(tmp_path: Path) -> None:
    plain = DataLoader([0])
    with pytest.raises(UserError, match="got a DataLoader, which doesn't define the classes"):
        trainer(tmp_path).test(task(), dataloaders=plain, verbose=False)
    with pytest.raises(RuntimeError, match="no evaluation is in progress"):
        _ = task().evaluation


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, stage: str) -> None:
    damaged = task()
    damaged.video_clip.encoder.model.visual_projection.weight.data[3, 5] = float("nan")
    with pytest.raises(NonFiniteError, match=r"visual_projection\.weight has 1 NaN or infinite"):
        getattr(trainer(tmp_path), stage)(damaged, dataloaders=loaders())


class Overflowing(OptimalDescriptorSolver):
    """Scores a single video as NaN, as an overflow on an accelerator does."""

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        found = super().forward(frames, *texts)
        found[0, 2] = float("nan")
        return found


@pytest.mark.parametrize("stage", ["test", "validate", "predict"])
def test_scores_that_are_not_finite_end_the_evaluation_before_anything_is_written(tmp_path: Path, stage: str) -> None:
    module = ContrastiveRecognition(VideoCLIP("tiny"), Overflowing())
    rows = AblationSetting(Overflowing(), [ShownRow("4a", "overflowing")])
    writers = {
        "test": [DescriptorUsage(tmp_path / "out"), Ablation([rows], folder=tmp_path / "out")],
        "predict": [PredictionWriter(tmp_path / "out")],
    }
    running = trainer(tmp_path, callbacks=writers.get(stage, []))
    expected = "its probabilities" if stage == "predict" else r"unseen, as trained: The scores of 3 of 20 videos"
    with pytest.raises(NonFiniteError, match=f"{expected} are not finite"):
        getattr(running, stage)(module, dataloaders=loaders())
    written = [line for file in tmp_path.rglob("*.*") if file.is_file() for line in file.read_text().splitlines()]
    assert len(written) == (stage == "predict")  # the header


def test_pixel_statistics_that_overflow_are_not_scored(tmp_path: Path) -> None:
    for matcher in (CategoryName(), OptimalDescriptorSolver()):
        module = ContrastiveRecognition(VideoCLIP("tiny"), matcher)
        module.video_clip.normalization._std.zero_()
        with pytest.raises(NonFiniteError, match="not finite"):
            trainer(tmp_path).test(module, dataloaders=loaders(), verbose=False)


def test_a_temporal_head_is_not_tested_with_positions_that_it_was_not_trained_with(tmp_path: Path) -> None:
    video_clip = VideoCLIP("tiny", temporal_head=partial(TemporalTransformer, layers=1))
    video_clip.trained_with = replace(video_clip.preprocessing, frames=1)
    module, checkpoint = ContrastiveRecognition(video_clip, CategoryName()), {"state_dict": {}}
    module.on_save_checkpoint(checkpoint)
    module.strict_loading = False
    video_clip.trained_with = None
    module.on_load_checkpoint(checkpoint)
    for stage in ("test", "validate", "predict"):
        with pytest.raises(UserError, match="The clips have 2 frames, but the temporal head was trained with 1"):
            getattr(trainer(tmp_path), stage)(module, dataloaders=loaders())


def test_sentences_that_do_not_fit_have_the_short_form(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "name: '{name}'\nspatio: '{descriptor}'\ntemporal: 'a video {descriptor}'\nshort: {temporal: '{descriptor}'}\n"
    )
    module = ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver(), str(file), descriptors_per_class=1)
    longest = " ".join(["video"] * 75)  # 77 tokens with start and end
    labels = LabelSpace(("x", "y"), {"x": Descriptors(("a",), (longest,)), "y": Descriptors(("b",), ("video",))})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is truncated
        module.tokenize(labels)
    assert module.sentences(labels).sentences["temporal"] == ((longest,), ("a video video",))


def test_sentences_that_are_too_long_are_counted_before_the_first_video(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        f"name: ['{{name}}', '{{name}} {'video ' * 90}']\nspatio: '{{descriptor}}'\ntemporal: '{{descriptor}}'\n"
    )
    module = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName(), str(file))

    class FirstBatch(Callback):
        def on_test_batch_start(self, *_: object) -> None:
            raise RuntimeError("the first video")

    with (
        pytest.warns(UserWarning, match=r"20 of 40 name sentences have more than 77 tokens and are truncated"),
        pytest.raises(RuntimeError, match="the first video"),
    ):
        trainer(tmp_path, callbacks=[FirstBatch()]).test(module, loaders(), verbose=False)
