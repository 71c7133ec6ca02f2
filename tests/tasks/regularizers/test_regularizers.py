"""Regularizers in a training: what is computed, logged, saved and resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver, structure_distillation
from ost_lightning.models import MeanPooling, VideoCLIP, ensemble_weights
from ost_lightning.tasks import (
    ContrastiveRecognition,
    OptimizerSettings,
    RecognitionTask,
    StructureDistillation,
    SupervisedRecognition,
    WeightInterpolation,
)
from ost_lightning.tasks.regularizers import Regularizer
from tests.tasks.test_supervised import OneBatch, trainer


def supervised(*terms: Regularizer, **settings: Any) -> SupervisedRecognition:
    clip = VideoCLIP("tiny", temporal_head=MeanPooling)
    optimizer = OptimizerSettings(learning_rate=1e-3, warmup_fraction=0)
    return SupervisedRecognition(clip, CategoryName(), optimizer=optimizer, regularizers=terms, **settings)


def contrastive(*terms: Regularizer, **settings: Any) -> ContrastiveRecognition:
    optimizer = OptimizerSettings(learning_rate=1e-3, warmup_fraction=0, schedule="constant")
    return ContrastiveRecognition(
        VideoCLIP("tiny"), OptimalDescriptorSolver(), optimizer=optimizer, regularizers=terms, **settings
    )


class Logged(Callback):
    """Keeps the metrics of every step, and the weights of a teacher after it."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.steps.append({name: float(value) for name, value in trainer.logged_metrics.items()})

    def values(self, name: str) -> list[float]:
        return [step[f"train/{name}"] for step in self.steps]


def fit(task: RecognitionTask, folder: Path, steps: int = 2, resume: Path | None = None, **options: Any) -> Logged:
    logged = Logged()
    run = trainer(folder, max_steps=steps, limit_val_batches=0, log_every_n_steps=1, callbacks=[logged], **options)
    torch.manual_seed(0)  # the labels of the batch
    run.fit(task, datamodule=OneBatch(steps), ckpt_path=resume, weights_only=True)
    run.save_checkpoint(folder / f"{steps}.ckpt")
    return logged


@pytest.mark.parametrize("make", [supervised, contrastive])
def test_terms_are_added_to_any_loss_with_their_weights(make: Any, tmp_path: Path) -> None:
    plain = fit(make(), tmp_path / "plain").values("loss")
    terms = [StructureDistillation(weight=0.3, momentum=0.5), WeightInterpolation(weight=0.2, shares=(0.5, 0.5))]
    logged = fit(make(*terms), tmp_path / "terms")
    # the teacher and the original weights are those of the student at first, so that neither term has an effect
    assert logged.values("structure_distillation")[0] == pytest.approx(0, abs=1e-6)
    assert logged.values("weight_interpolation")[0] == pytest.approx(2 * plain[0], rel=1e-4)
    assert logged.values("loss")[0] == pytest.approx(plain[0] * 1.4, rel=1e-4)
    assert logged.values("structure_distillation")[1] > 1e-4


def test_structure_is_that_of_mean_frames_and_mean_sentences(tmp_path: Path) -> None:
    term = StructureDistillation(teacher="frozen", projection_width=0, directions=64, seed=5)
    task, data = contrastive(term), OneBatch()
    term.prepare(task.video_clip, whole_steps=False)
    with torch.no_grad():
        for weight in task.video_clip.parameters():
            weight.mul_(1.02)
    tokens = task.tokenize(data.labels)
    own = contrastive()
    own.video_clip.load_state_dict(task.video_clip.state_dict())
    clips, labels = [data.batch.frames], [data.batch.labels]
    found = task.loss(clips, labels, tokens) - own.loss(clips, labels, tokens)

    def structure(clip: VideoCLIP) -> Tensor:
        classes = torch.cat(list(clip.encode_sentences(tokens.select(labels[0].sort().values)).values()), dim=1)
        videos = clip.encode_frames(clips[0].flatten(0, 1)).mean(1)
        directions = F.normalize(torch.randn(64, 128, generator=term.generator(0, 0, 0)), dim=-1)
        return F.normalize(videos, dim=-1) @ directions.T @ directions @ F.normalize(classes.mean(1), dim=-1).T

    scale = task.video_clip.encoder.model.logit_scale.exp()
    expected = structure_distillation(structure(task.video_clip), structure(VideoCLIP("tiny")), scale)
    torch.testing.assert_close(found, 0.4 * expected, rtol=1e-3, atol=1e-6)
    assert float(expected.detach()) > 1e-3


def test_directions_depend_on_seed_process_and_step() -> None:
    def drawn(seed: int | None, *position: int) -> float:
        return float(torch.rand((), generator=StructureDistillation(seed=seed).generator(*position)))

    assert drawn(1, 0, 5, 0) == drawn(1, 0, 5, 0)
    assert len({drawn(1, 0, 5, 0), drawn(2, 0, 5, 0), drawn(1, 1, 5, 0), drawn(1, 0, 6, 0), drawn(1, 0, 5, 1)}) == 5


def test_seed_follows_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    of_run, own = (StructureDistillation(seed=seed).generator(0).initial_seed() for seed in (None, 7))
    assert of_run == own


def test_a_resumed_training_repeats_that_of_one_piece(tmp_path: Path) -> None:
    def task() -> ContrastiveRecognition:
        torch.manual_seed(0)  # the projection
        return contrastive(StructureDistillation(momentum=0.5), WeightInterpolation())

    whole = fit(task(), tmp_path / "whole", 4)
    fit(task(), tmp_path / "half", 2)
    resumed = fit(task(), tmp_path / "resumed", 4, tmp_path / "half" / "2.ckpt")
    assert len(resumed.steps) == 2
    for name in ("loss", "structure_distillation", "weight_interpolation"):
        assert resumed.values(name) == pytest.approx(whole.values(name)[2:], rel=1e-5)
    files = [tmp_path / run / "4.ckpt" for run in ("whole", "resumed")]
    states = [torch.load(file, weights_only=True)["ost_regularizers"]["StructureDistillation"] for file in files]
    for name, weight in states[0]["teacher"].items():
        torch.testing.assert_close(states[1]["teacher"][name], weight)


def test_projection_and_teacher_are_in_checkpoints_but_not_in_other_weights(tmp_path: Path) -> None:
    fit(supervised(StructureDistillation(momentum=0.5)), tmp_path)
    saved = torch.load(tmp_path / "2.ckpt", weights_only=True)
    names = [name for name in saved["state_dict"] if not name.startswith("video_clip.")]
    layers = [f"{layer}.{kind}" for layer in ("inner", "outer") for kind in ("weight", "bias")]
    assert names == [f"regularizers.0.projection.{layer}" for layer in layers]
    assert saved["state_dict"]["regularizers.0.projection.outer.weight"].abs().max() > 0
    teacher = saved["ost_regularizers"]["StructureDistillation"]["teacher"]
    assert teacher.keys() == dict(supervised().video_clip.named_parameters()).keys()
    # an evaluation takes the checkpoint with and without the term, and scores the same
    clip = VideoCLIP("tiny", temporal_head=MeanPooling, init_from=tmp_path / "2.ckpt").eval()
    for task in (supervised(), supervised(StructureDistillation(), WeightInterpolation())):
        trainer(tmp_path).test(task, dataloaders=[], ckpt_path=tmp_path / "2.ckpt", verbose=False)
        frames = OneBatch().batch.frames.flatten(0, 1)
        with torch.no_grad():
            torch.testing.assert_close(task.eval().video_clip.encode_frames(frames), clip.encode_frames(frames))


def test_a_frozen_teacher_is_not_saved_and_stays(tmp_path: Path) -> None:
    task = supervised(StructureDistillation(teacher="frozen", projection_width=0))
    fit(task, tmp_path)
    saved = torch.load(tmp_path / "2.ckpt", weights_only=True)
    assert "ost_regularizers" not in saved
    assert all(name.startswith("video_clip.") for name in saved["state_dict"])


def test_a_teacher_moves_once_per_optimizer_step(tmp_path: Path) -> None:
    term = StructureDistillation(momentum=0.5)
    task = supervised(term)
    seen: list[float] = []

    class Seen(Callback):
        def on_before_zero_grad(self, *_: Any) -> None:
            assert term._teacher is not None
            seen.append(float(term._teacher.video_clip.encoder.model.visual_projection.weight[0, 0]))

    weight = task.video_clip.encoder.model.visual_projection.weight
    weights = [float(weight[0, 0].detach())]

    class Student(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            weights.append(float(weight[0, 0].detach()))

    options = {"max_epochs": 1, "limit_val_batches": 0, "accumulate_grad_batches": 2}
    trainer(tmp_path, callbacks=[Seen(), Student()], **options).fit(task, datamodule=OneBatch(6))
    expected = weights[0]
    for current in (weights[0], weights[2], weights[4]):
        expected = 0.5 * expected + 0.5 * current
    assert seen[-1] == pytest.approx(expected, rel=1e-5)
    assert seen[-1] != pytest.approx(weights[0], rel=1e-4)
    task.setup("test")
    assert term._teacher is None  # frees its memory


def test_interpolated_loss_is_that_of_mixed_weights_and_its_gradient_reaches_the_current_ones() -> None:
    data = OneBatch()
    clips, labels = [data.batch.frames], [data.batch.labels]
    task = contrastive(WeightInterpolation(weight=1, shares=(0.3, 0.3), undo_share=False))
    task.regularizers.prepare(task.video_clip, whole_steps=False)
    original = task.video_clip.original_parameters()
    with torch.no_grad():
        for weight in task.video_clip.parameters():
            weight.mul_(1.03)
    tokens = task.tokenize(data.labels)
    task.loss(clips, labels, tokens).backward()
    found = {name: weight.grad for name, weight in task.video_clip.named_parameters()}

    def gradients(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        other = contrastive()
        with torch.no_grad():
            for name, weight in other.video_clip.named_parameters():
                weight.copy_(weights[name])
        other.loss(clips, labels, tokens).backward()
        return {name: weight.grad for name, weight in other.video_clip.named_parameters()}

    current = {name: weight.detach() for name, weight in task.video_clip.named_parameters()}
    own, mixed = gradients(current), gradients(ensemble_weights(original, current, 0.3))
    total = torch.stack([gradient.norm() for gradient in found.values()]).norm()
    for name, gradient in found.items():
        expected = own[name] + 0.7 * mixed[name]
        assert float((gradient - expected).norm()) <= 1e-3 * float(expected.norm()) + 1e-6 * float(total), name


def test_shares_are_uniform_and_the_gradient_can_be_that_at_the_interpolated_weights() -> None:
    shares = torch.tensor([WeightInterpolation(seed=0).share(step) for step in range(2000)])
    assert float(shares.min()) >= 0
    assert float(shares.max()) <= 0.6
    assert float(shares.mean()) == pytest.approx(0.3, abs=0.02)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weight of StructureDistillation is -1"):
        StructureDistillation(weight=-1)
    with pytest.raises(UserError, match=r"momentum is 1\.0: expected .* set `teacher` to frozen"):
        StructureDistillation(momentum=1.0)
    with pytest.raises(UserError, match="has 0 directions"):
        StructureDistillation(directions=0)
    with pytest.raises(UserError, match=r"shares is \[0\.5, 0\.2\]"):
        WeightInterpolation(shares=(0.5, 0.2))
    with pytest.raises(UserError, match="contains WeightInterpolation twice"):
        supervised(WeightInterpolation(), WeightInterpolation())
    checkpointed = ContrastiveRecognition(
        VideoCLIP("tiny", gradient_checkpointing=True), OptimalDescriptorSolver(), regularizers=[WeightInterpolation()]
    )
    with pytest.raises(UserError, match=r"video_clip\.gradient_checkpointing computes activations again"):
        checkpointed.setup("fit")
    with pytest.raises(UserError, match="contrast: global_batch computes activations again"):
        contrastive(WeightInterpolation(), contrast="global_batch").setup("fit")


def test_a_moving_teacher_is_not_resumed_from_a_training_without_it(tmp_path: Path) -> None:
    fit(supervised(StructureDistillation(teacher="frozen")), tmp_path)
    with pytest.raises(CheckpointError, match="has no state of StructureDistillation"):
        fit(supervised(StructureDistillation()), tmp_path, 3, tmp_path / "2.ckpt")
