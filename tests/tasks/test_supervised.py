import random
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from torch import Tensor
from torch.nn.functional import log_softmax, normalize
from torch.utils.data import DataLoader

from ost_lightning.datamodules import ClipSettings, LoadingSettings, ToyWorld
from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import (
    AffixPrompts,
    CheckpointError,
    ClassContexts,
    LogitScale,
    MeanPooling,
    PromptedVideoCLIP,
    TemporalTransformer,
    VideoCLIP,
    VideoPrompts,
)
from ost_lightning.tasks import Mixing, OptimizerSettings, SupervisedRecognition
from ost_lightning.text import Templates
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.video import ClipBatch
from studies.tiny_clip.stills import render_still, sample_still

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


class OneBatch(LightningDataModule):
    """The same four videos, from four classes, at every step."""

    def __init__(self, steps: int = 1) -> None:
        super().__init__()
        labels = label_space(0, "seen")
        self.labels = labels.select(labels.names[::10])
        rng = random.Random(0)
        pictures = [render_still(sample_still(rng), rng) for _ in range(8)]
        frames = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[..., 3:51, 3:51].unflatten(0, (4, 1, 2))
        names = tuple(f"{k}.mp4" for k in range(4))
        self.batch = ClipBatch(frames, torch.randperm(4), torch.ones(4, dtype=torch.bool), names)
        self.steps = steps

    def train_dataloader(self) -> DataLoader:
        loader = DataLoader([self.batch] * self.steps, batch_size=None)
        loader.labels = self.labels
        return loader


def trainer(folder: Path, **options: object) -> Trainer:
    return Trainer(**{"accelerator": "cpu", "default_root_dir": folder, "num_sanity_val_steps": 0, **QUIET, **options})


def world(frames: int) -> ToyWorld:
    clips = ClipSettings(frames=frames, short_side=54, crop_size=48)
    return ToyWorld(train_clips=1, test_clips=1, clips=clips, loading=LoadingSettings(4, workers=0))


class Watch(Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: dict, *_: object) -> None:
        self.losses.append(float(outputs["loss"]))


@torch.no_grad()
def recognized(module: SupervisedRecognition, data: OneBatch) -> Tensor:
    module.eval()
    texts = module.video_clip.encode_sentences(module.tokenize(data.labels))
    embedded = embed(module.video_clip, data.batch.frames)
    return probabilities(module.video_clip, module.matcher, texts, embedded).argmax(1)


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> float:
    losses = []
    for row, label in zip(log_softmax(logits, -1), labels, strict=True):
        target = torch.full_like(row, smoothing / len(row))
        target[label] += 1 - smoothing
        losses.append(-(target * row).sum())
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_that_of_vifi_clip(tmp_path: Path, smoothing: float) -> None:
    """Cross-entropy of the normalized mean of raw frame embeddings with the names of all classes."""
    module = SupervisedRecognition(
        VideoCLIP("tiny", temporal_head=MeanPooling), CategoryName(), label_smoothing=smoothing
    )
    watch, data = Watch(), OneBatch()
    trainer(tmp_path, max_steps=1, limit_val_batches=0, callbacks=[watch]).fit(module, datamodule=data)
    fresh, batch = VideoCLIP("tiny"), data.batch
    sentences = Templates.load("ost").apply(data.labels, ("name",), 4)
    with torch.no_grad():
        pixels = fresh.normalization(batch.frames.flatten(0, 2))
        frames = fresh.encoder.model.get_image_features(pixel_values=pixels).pooler_output.unflatten(0, (4, 2))
        names = fresh.encode_sentences(fresh.tokenize(sentences))["name"][:, 0]
        logits = fresh.encoder.model.logit_scale.exp() * normalize(frames.mean(1), dim=-1) @ names.T
    assert watch.losses[0] == pytest.approx(smoothed_cross_entropy(logits, batch.labels, smoothing), rel=1e-4)


@pytest.mark.parametrize(
    ("matcher", "head", "frozen"),
    [
        (CategoryName(), None, False),
        (CategoryName(), MeanPooling, False),
        (CategoryName(), partial(TemporalTransformer, layers=2), True),
        (OptimalDescriptorSolver(), partial(TemporalTransformer, layers=2, pool=False), True),
    ],
    ids=["names", "vifi_clip", "text4vis", "ost_on_text4vis"],
)
def test_a_small_batch_is_overfitted(tmp_path: Path, matcher: Matcher, head: object, frozen: bool) -> None:
    module = SupervisedRecognition(
        VideoCLIP("tiny", temporal_head=head, freeze_text=frozen),
        matcher,
        optimizer=OptimizerSettings(learning_rate=5e-4, warmup_fraction=0.0, new_module_lr_multiplier=2.0),
    )
    watch, data = Watch(), OneBatch(steps=25)
    trainer(tmp_path, max_epochs=1, limit_val_batches=0, callbacks=[watch]).fit(module, datamodule=data)
    assert watch.losses[-1] < 0.1 * watch.losses[0]
    assert torch.equal(recognized(module, data), data.batch.labels)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_sentences_are_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: bool) -> None:
    module, calls = SupervisedRecognition(VideoCLIP("tiny", freeze_text=frozen), CategoryName()), []
    encode = module.video_clip.encode_sentences
    monkeypatch.setattr(module.video_clip, "encode_sentences", lambda tokens: calls.append(1) or encode(tokens))
    before = {name: value.clone() for name, value in module.video_clip.encoder.model.text_model.named_parameters()}
    trainer(tmp_path, max_epochs=3, limit_val_batches=0).fit(module, datamodule=OneBatch())
    assert len(calls) == (1 if frozen else 3)
    after = dict(module.video_clip.encoder.model.text_model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items()) == frozen


@pytest.mark.parametrize("prompted", [True, False])
def test_while_prompts_are_trained_sentences_are_encoded_in_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompted: bool
) -> None:
    """And once per evaluation. The frozen towers stay as they are."""
    affix = partial(AffixPrompts, prefix=2, postfix=1)
    model = PromptedVideoCLIP("tiny", freeze_text=True, freeze_vision=True, text_prompts=affix)
    if not prompted:
        model = VideoCLIP("tiny", freeze_text=True, freeze_vision=True)  # only the temperature is trained
    module, calls = SupervisedRecognition(model, CategoryName()), []
    encode = model.encode_sentences
    monkeypatch.setattr(model, "encode_sentences", lambda tokens: calls.append(1) or encode(tokens))
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainer(tmp_path, max_epochs=3, limit_val_batches=0).fit(module, datamodule=OneBatch())
    assert len(calls) == (3 if prompted else 1)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"encoder.model.logit_scale", *(["text_prompts.table.weight"] if prompted else [])}
    calls.clear()
    trainer(tmp_path, limit_test_batches=2).test(module, datamodule=world(2), verbose=False)
    assert len(calls) == 1


class WithClasses(OneBatch):
    """The batch of four videos, and the training set as data modules have it."""

    @property
    def training_set(self) -> SimpleNamespace:
        return SimpleNamespace(labels=self.labels)


def contexts_task() -> SupervisedRecognition:
    contexts = partial(ClassContexts, contexts_per_class=3)
    model = PromptedVideoCLIP("tiny", freeze_text=True, freeze_vision=True, text_prompts=contexts)
    optimizer = OptimizerSettings(learning_rate=0.02, warmup_fraction=0.0)
    return SupervisedRecognition(model, CategoryName(), templates="coop", optimizer=optimizer)


def test_contexts_of_the_training_classes_are_trained_and_resumed(tmp_path: Path) -> None:
    data, watch = WithClasses(), Watch()
    torch.manual_seed(0)
    whole = contexts_task()
    options = {"limit_val_batches": 0, "deterministic": True}
    trainer(tmp_path, max_steps=4, callbacks=[watch], **options).fit(whole, datamodule=data)
    assert watch.losses[-1] < watch.losses[0]
    assert whole.video_clip.text_prompts.names == data.labels.names
    torch.manual_seed(0)
    part = contexts_task()

    class Stop(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
            trainer.should_stop = trainer.global_step >= 2

    first = trainer(tmp_path, max_steps=4, callbacks=[Stop()], **options)
    first.fit(part, datamodule=data)
    first.save_checkpoint(tmp_path / "part.ckpt")
    assert first.global_step == 2
    resumed = contexts_task()
    rest = trainer(tmp_path, max_steps=4, **options)
    rest.fit(resumed, datamodule=data, ckpt_path=tmp_path / "part.ckpt", weights_only=True)
    assert rest.global_step == 4
    for (name, value), other in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(value, other, msg=name)


def test_contexts_of_other_classes_are_not_resumed(tmp_path: Path) -> None:
    data = WithClasses()
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(contexts_task(), datamodule=data)
    run.save_checkpoint(tmp_path / "old.ckpt")
    data.labels = label_space(0, "unseen").select(label_space(0, "unseen").names[:4])
    with pytest.raises(CheckpointError, match=r"learned contexts belong to 4 classes, .* of this run has others"):
        trainer(tmp_path, max_steps=2, limit_val_batches=0).fit(
            contexts_task(), datamodule=data, ckpt_path=tmp_path / "old.ckpt", weights_only=True
        )


def test_contexts_without_classes_or_in_averaged_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no classes have been set: .*set_training_classes\(labels\)"):
        trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(contexts_task(), datamodule=OneBatch())
    for callback in (EMAWeightAveraging(), StochasticWeightAveraging(1e-3)):
        with pytest.raises(UserError, match=rf"{type(callback).__name__} copies the model before its learned contexts"):
            trainer(tmp_path, max_steps=1, callbacks=[callback]).fit(contexts_task(), datamodule=WithClasses())


def test_clips_that_vision_prompts_cannot_read_are_refused_before_training(tmp_path: Path) -> None:
    model = PromptedVideoCLIP("tiny", vision_prompts=partial(VideoPrompts, frames=4))
    data = world(6)
    with pytest.raises(UserError, match=r"6 frames, but video_clip\.vision_prompts are for 4 frames"):
        trainer(tmp_path, max_steps=1).fit(SupervisedRecognition(model, CategoryName()), datamodule=data)
    with pytest.raises(UserError, match=r"6 frames, but video_clip\.vision_prompts are for 4 frames"):
        trainer(tmp_path).test(SupervisedRecognition(model, CategoryName()), datamodule=data, verbose=False)


def test_frozen_and_trained_text_have_the_same_loss(tmp_path: Path) -> None:
    losses, data = [], OneBatch()
    for frozen in (True, False):
        module, watch = SupervisedRecognition(VideoCLIP("tiny", freeze_text=frozen), OptimalDescriptorSolver()), Watch()
        trainer(tmp_path, max_steps=1, limit_val_batches=0, callbacks=[watch]).fit(module, datamodule=data)
        losses.append(watch.losses[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_new_modules_have_their_own_learning_rate(tmp_path: Path) -> None:
    module = SupervisedRecognition(
        VideoCLIP("tiny", temporal_head=partial(TemporalTransformer, layers=1)),
        CategoryName(),
        optimizer=OptimizerSettings(learning_rate=1e-5, weight_decay=0.2, new_module_lr_multiplier=10.0),
    )
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(module, datamodule=OneBatch())
    rates = {
        id(parameter): (group["initial_lr"], group["weight_decay"])
        for group in run.optimizers[0].param_groups
        for parameter in group["params"]
    }
    assert set(rates) == {id(parameter) for parameter in module.parameters()}
    for name, parameter in module.named_parameters():
        rate = 1e-4 if "temporal_head" in name else 1e-5
        assert rates[id(parameter)] == (pytest.approx(rate), 0.2 if parameter.ndim > 1 else 0.0), name


def test_mixup_averages_pixels_and_labels() -> None:
    module = SupervisedRecognition(VideoCLIP("tiny"), CategoryName(), mixing=Mixing(mixup=0.8))
    clips, labels = torch.randint(0, 256, (5, 3, 3, 48, 48), dtype=torch.uint8), torch.tensor([0, 4, 2, 2, 1])
    mixed, targets = module._mix(clips, labels, 6)
    assert (mixed.dtype, mixed.shape, targets.shape) == (torch.uint8, clips.shape, (5, 6))
    torch.testing.assert_close(targets.sum(1), torch.ones(5))
    share = float(targets[0, 0])
    assert 0 < share < 1
    expected = share * clips.float() + (1 - share) * clips.roll(1, 0).float()
    assert float((mixed.float() - expected).abs().max()) <= 0.5 + 1e-3
    partners = torch.nn.functional.one_hot(labels, 6).float()
    torch.testing.assert_close(targets, share * partners + (1 - share) * partners.roll(1, 0))


def test_cutmix_replaces_one_rectangle_of_all_frames() -> None:
    module = SupervisedRecognition(VideoCLIP("tiny"), CategoryName(), mixing=Mixing(cutmix=1.0))
    # each video has a constant value, which identifies the origin of every pixel
    clips = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1, 1).expand(4, 3, 3, 48, 48)
    mixed, targets = module._mix(clips, torch.arange(4), 4)
    assert bool((mixed == mixed[:, :1, :1]).all())
    unmixed = (mixed == clips).float().mean((1, 2, 3, 4))
    torch.testing.assert_close(targets.diagonal(), unmixed)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_mixup_and_cutmix_are_both_drawn() -> None:
    module = SupervisedRecognition(VideoCLIP("tiny"), CategoryName(), mixing=Mixing(mixup=0.8, cutmix=1.0))
    clips = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1, 1).expand(2, 1, 3, 48, 48)
    replaced = 0
    for _ in range(60):
        mixed, _targets = module._mix(clips, torch.arange(2), 2)
        replaced += bool(((mixed == 0) | (mixed == 255)).all())
    assert 10 < replaced < 50


def test_training_on_mixed_batches_learns_the_original_videos(tmp_path: Path) -> None:
    module = SupervisedRecognition(
        VideoCLIP("tiny", temporal_head=MeanPooling),
        CategoryName(),
        optimizer=OptimizerSettings(learning_rate=5e-4, warmup_fraction=0.0),
        label_smoothing=0.1,
        mixing=Mixing(mixup=0.8, cutmix=1.0),
    )
    data = OneBatch(steps=40)
    trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(module, datamodule=data)
    assert torch.equal(recognized(module, data), data.batch.labels)


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(UserError, match=r"label_smoothing is 1\.5"):
        SupervisedRecognition(VideoCLIP("tiny"), CategoryName(), label_smoothing=1.5)
    with pytest.raises(UserError, match=r"mixing is .*-1.*at least 0"):
        SupervisedRecognition(VideoCLIP("tiny"), CategoryName(), mixing=Mixing(mixup=-1.0))


def test_the_logit_scale_stays_below_its_limit(tmp_path: Path) -> None:
    video_clip = VideoCLIP("tiny", logit_scale=LogitScale(initial=50, maximum=50))
    module = SupervisedRecognition(
        video_clip, CategoryName(), optimizer=OptimizerSettings(learning_rate=0.1, warmup_fraction=0)
    )
    scales: list[float] = []

    class Record(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
            scales.append(float(video_clip.encoder.model.logit_scale.exp()))

    trainer(tmp_path, max_steps=4, limit_val_batches=0, callbacks=[Record()]).fit(module, datamodule=OneBatch(4))
    assert max(scales) <= 50.0001
    assert len(scales) == 4
