import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.datamodules import ClipSettings, LoadingSettings, ToyWorld
from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.matching import (
    CategoryName,
    Matcher,
    OptimalDescriptorSolver,
    PooledDescriptors,
    TermWeights,
    TransportWarning,
    symmetric_kl,
)
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition, OptimizerSettings
from ost_lightning.text import Templates
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.video import ClipBatch

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def task(matcher: Matcher | None = None, **settings: object) -> ContrastiveRecognition:
    return ContrastiveRecognition(VideoCLIP("tiny"), matcher or OptimalDescriptorSolver(), **settings)


def world(**loading: object) -> ToyWorld:
    settings = LoadingSettings(**{"global_batch_size": 16, "workers": 0, "seed": 0, **loading})
    return ToyWorld(
        train_clips=1, test_clips=1, clips=ClipSettings(frames=4, short_side=54, crop_size=48), loading=settings
    )


def trainer(folder: Path, **options: object) -> Trainer:
    return Trainer(**{"accelerator": "cpu", "default_root_dir": folder, "num_sanity_val_steps": 0, **QUIET, **options})


def recognized(module: ContrastiveRecognition, clips: torch.Tensor, texts: dict[str, torch.Tensor]) -> torch.Tensor:
    return probabilities(module.video_clip, module.matcher, texts, embed(module.video_clip, clips))


class Losses(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: dict, *_: object) -> None:
        self.values.append(float(outputs["loss"]))


@pytest.mark.parametrize(
    "matcher",
    [
        pytest.param(CategoryName(), marks=pytest.mark.slow),
        pytest.param(PooledDescriptors(), marks=pytest.mark.slow),
        OptimalDescriptorSolver(terms=TermWeights(name=1, order=2)),
    ],
)
def test_training_lowers_the_loss(tmp_path: Path, matcher: Matcher) -> None:
    losses = Losses()
    module = task(matcher, optimizer=OptimizerSettings(learning_rate=1e-3, warmup_fraction=0.0))
    trainer(tmp_path, max_epochs=3, limit_val_batches=0, callbacks=[losses]).fit(module, datamodule=world())
    assert len(losses.values) == 6
    assert sum(losses.values[-2:]) < 0.9 * sum(losses.values[:2])


def test_a_schedule_needs_a_last_step(tmp_path: Path) -> None:
    endless = trainer(tmp_path, max_epochs=-1, max_time="00:00:00:05", limit_val_batches=0)
    with pytest.raises(UserError, match=r"trainer\.max_epochs is -1 and trainer\.max_steps is -1: set one of them"):
        endless.fit(task(), datamodule=world())


def test_unconverged_problems_are_counted_and_reported_once(tmp_path: Path) -> None:
    module = task(OptimalDescriptorSolver(max_iterations=1, tolerance=1e-9))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", TransportWarning)
        fitted = trainer(tmp_path, max_epochs=2)
        fitted.fit(module, world())
    messages = [str(warning.message) for warning in caught if warning.category is TransportWarning]
    assert sorted(message.split(" have")[0] for message in messages) == [
        "Transport problems of the training",
        "Transport problems of the validation",
    ]
    # two steps with 16 videos, 16 classes and two kinds of descriptors
    assert float(fitted.callback_metrics["train/unconverged"]) == 2 * 16 * 16 * 2


def test_loss_of_a_step_matches_its_components(tmp_path: Path) -> None:
    module, data, losses = task(loss_factor=1.0), world(), Losses()
    seen: list[ClipBatch] = []

    class Keep(Callback):
        def on_train_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, *_: object
        ) -> None:
            seen.append(batch)

    trainer(tmp_path, max_steps=1, limit_val_batches=0, callbacks=[losses, Keep()]).fit(module, datamodule=data)
    fresh, (batch,) = VideoCLIP("tiny"), seen
    labels = label_space(0, "seen")
    sentences = Templates.load("ost").apply(labels, ("spatio", "temporal"), 4)
    with torch.no_grad():
        frames = fresh.encode_frames(batch.frames[:, 0])
        texts = fresh.encode_sentences(fresh.tokenize(sentences))
        scores = OptimalDescriptorSolver()(frames, texts["spatio"], texts["temporal"])
        # every video is compared with the class of every sample in the batch
        expected = symmetric_kl(fresh.similarity_to_logits(scores[:, batch.labels]), batch.labels, factor=1.0)
    assert losses.values[0] == pytest.approx(float(expected), rel=1e-4)


def steps_taken(folder: Path, contrast: str, limit: int | None) -> torch.Tensor:
    """The change of all weights in two optimizer steps."""
    # with such a large eps AdamW follows the gradient, instead of amplifying rounding error to full steps
    optimizer = OptimizerSettings(
        learning_rate=0.1, weight_decay=0.0, eps=1.0, schedule="timm_cosine", warmup_fraction=0.0
    )
    module = task(contrast=contrast, optimizer=optimizer)
    before = torch.nn.utils.parameters_to_vector(module.parameters()).detach().clone()
    run, data = trainer(folder, max_steps=2, limit_val_batches=0), world(max_videos_per_device=limit)
    data.configure_for(module.video_clip.preprocessing, whole_steps=module.takes_whole_steps)
    run.fit(module, datamodule=data)
    assert run.global_step == 2
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach() - before


def test_global_contrast_does_not_depend_on_the_micro_batch_size(tmp_path: Path) -> None:
    full = steps_taken(tmp_path, "micro_batch", None)
    for limit in (None, 4):
        cached = steps_taken(tmp_path, "global_batch", limit)
        assert (cached - full).norm() < 1e-3 * full.norm()
    released = steps_taken(tmp_path, "micro_batch", 4)
    assert (released - full).norm() > 0.05 * full.norm()


def test_a_global_contrast_needs_all_micro_batches_of_a_step(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"contrast is global_batch, .*configure_for\(preprocessing, whole_steps=True\)"
    ):
        trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(task(contrast="global_batch"), datamodule=world())


def test_evaluation_is_exact_and_per_set(tmp_path: Path) -> None:
    module = task()
    data = ToyWorld(
        test_clips=1,
        test_sets=["unseen", "order"],
        clips=ClipSettings(frames=4, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, evaluation_batch_size=7),
    )
    run = trainer(tmp_path)
    run.test(module, datamodule=data, verbose=False)
    logged = {key: float(value) for key, value in run.callback_metrics.items()}
    module.eval()
    for name, videos in data.evaluation_videos("test").items():
        texts = module.video_clip.encode_sentences(module.tokenize(videos.labels))
        right = 0
        loader = data.test_dataloader()[list(data.evaluation_labels("test")).index(name)]
        with torch.no_grad():
            for batch in loader:
                right += int((recognized(module, batch.frames, texts).argmax(1) == batch.labels).sum())
        assert logged[f"test/{name}/videos"] == 20
        assert logged[f"test/{name}/top1"] == pytest.approx(right / 20)
        assert logged[f"test/{name}/undecodable"] == 0


def test_sentences_are_encoded_once_per_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = task(), []
    encode = module.video_clip.encode_sentences
    monkeypatch.setattr(module.video_clip, "encode_sentences", lambda tokens: calls.append(1) or encode(tokens))
    trainer(tmp_path).test(module, datamodule=world(evaluation_batch_size=4), verbose=False)
    assert len(calls) == 1


def test_weight_decay_on_all_includes_vectors_and_scalars(tmp_path: Path) -> None:
    groups = {}
    for on_all in (False, True):
        module = task(optimizer=OptimizerSettings(weight_decay_on_all=on_all, weight_decay=0.01))
        run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
        run.fit(module, datamodule=world())
        groups[on_all] = run.optimizers[0].param_groups
    assert [group["weight_decay"] for group in groups[True]] == [0.01]
    assert [group["weight_decay"] for group in groups[False]] == [0.01, 0.0]
    assert all(parameter.ndim > 1 for parameter in groups[False][0]["params"])


def test_prediction(tmp_path: Path) -> None:
    module = task()
    (predictions,) = trainer(tmp_path).predict(module, datamodule=world(evaluation_batch_size=20))
    assert len(predictions) == 20
    names = set(label_space(0, "unseen").names)
    for prediction in predictions:
        assert len(prediction.classes) == 5
        assert set(prediction.classes) <= names
        assert list(prediction.probabilities) == sorted(prediction.probabilities, reverse=True)
        assert prediction.error == ""
