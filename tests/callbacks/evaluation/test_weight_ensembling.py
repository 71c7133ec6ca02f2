from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from ost_lightning.callbacks import WeightEnsembling
from ost_lightning.datamodules import ClipSettings, LoadingSettings, ToyWorld
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models import AffixPrompts, PromptedVideoCLIP, VideoCLIP, ensemble_weights
from ost_lightning.tasks import ContrastiveRecognition

CLIPS = ClipSettings(frames=4, short_side=54, crop_size=48)


def world() -> ToyWorld:
    return ToyWorld(test_clips=1, clips=CLIPS, loading=LoadingSettings(workers=0, evaluation_batch_size=16))


def tuned_task() -> ContrastiveRecognition:
    """Creates a task whose weights clearly differ from the original ones."""
    task = ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in task.video_clip.parameters():
            parameter += 0.08 * torch.randn(parameter.shape, generator=generator) * parameter.abs().mean()
    return task


def score(task: ContrastiveRecognition, folder: Path, *callbacks: WeightEnsembling) -> dict[str, float]:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    trainer.test(task, datamodule=world(), verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def test_several_ratios_in_one_run_equal_separate_runs(tmp_path: Path) -> None:
    task = tuned_task()
    together = score(task, tmp_path, WeightEnsembling(ratios=[0.2, 1.0]))
    assert together["test/unseen/top1"] == score(tuned_task(), tmp_path)["test/unseen/top1"]
    original = task.video_clip.original_parameters()
    for ratio in (0.2, 1.0):
        alone = tuned_task()
        mixture = ensemble_weights(original, dict(alone.video_clip.named_parameters()), ratio)
        with torch.no_grad():
            for name, parameter in alone.video_clip.named_parameters():
                parameter.copy_(mixture[name])
        separate = score(alone, tmp_path)
        for key in ("top1", "top5", "videos"):
            assert together[f"test/unseen/ensembled_{ratio:g}/{key}"] == separate[f"test/unseen/{key}"]


def test_the_tuned_weights_are_unchanged(tmp_path: Path) -> None:
    task = tuned_task()
    before = {name: parameter.clone() for name, parameter in task.named_parameters()}
    score(task, tmp_path, WeightEnsembling())
    assert all(torch.equal(parameter, before[name]) for name, parameter in task.named_parameters())
    assert task.weight_sets.names == ("as trained",)
    assert not task.scorers
    # and they can be trained further
    assert all(not parameter.is_inference() for parameter in task.parameters())


def test_a_saved_mixture_can_be_loaded(tmp_path: Path) -> None:
    task = tuned_task()
    scored = score(task, tmp_path, WeightEnsembling(ratios=[0.3], save_to=tmp_path / "saved"))
    again = ContrastiveRecognition(VideoCLIP(str(tmp_path / "saved" / "ensembled_0.3")), OptimalDescriptorSolver())
    assert score(again, tmp_path)["test/unseen/top1"] == scored["test/unseen/ensembled_0.3/top1"]
    expected = ensemble_weights(task.video_clip.original_parameters(), dict(task.video_clip.named_parameters()), 0.3)
    for name, parameter in again.video_clip.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name])


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ratios contains 1\.2"):
        WeightEnsembling(ratios=[0.2, 1.2])
    with pytest.raises(UserError, match="not on LightningModule"):
        WeightEnsembling().on_test_start(Trainer(accelerator="cpu", logger=False), LightningModule())


def test_a_ratio_is_scored_by_only_one_callback(tmp_path: Path) -> None:
    task = tuned_task()
    with pytest.raises(UserError, match=r"ratios contains 0\.2, which another callback of this run already scores"):
        score(task, tmp_path, WeightEnsembling(), WeightEnsembling(ratios=[0.5, 0.2]))
    # a task whose test failed can be tested again
    scored = score(task, tmp_path, WeightEnsembling(), WeightEnsembling(ratios=[0.5]))
    assert {"test/unseen/ensembled_0.2/top1", "test/unseen/ensembled_0.5/top1"} <= scored.keys()


@pytest.mark.parametrize("pretrained", ["tiny", "a tuned folder"])
def test_original_weights_are_not_scored_again_as_mixtures(
    pretrained: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = "tiny"
    if pretrained != "tiny":  # without `tuned_from`, nothing says what it was tuned from
        source = str(tmp_path / "tuned")
        tuned_task().video_clip.save_pretrained(Path(source))
    task = ContrastiveRecognition(VideoCLIP(source), OptimalDescriptorSolver())
    with caplog.at_level("INFO"):
        scored = score(task, tmp_path, WeightEnsembling(ratios=[0.2, 1.0], save_to=tmp_path / "saved"))
    assert {name.removeprefix("test/unseen/") for name in scored if name.startswith("test/unseen")} == {
        "top1",
        "top5",
        "videos",
        "undecodable",
    }
    assert f"nothing to mix, because these are the weights of {source}" in caplog.text
    assert (tmp_path / "saved" / "ensembled_0.2").is_dir()  # which was asked for
    assert task.weight_sets.names == ("as trained",)


def test_prompts_between_frozen_towers_have_nothing_to_mix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    affix = partial(AffixPrompts, prefix=2, postfix=1)
    clip = PromptedVideoCLIP("tiny", freeze_vision=True, freeze_text=True, text_prompts=affix)
    with torch.no_grad():
        clip.encoder.model.logit_scale.add_(1)  # trained with the prompts
    task = ContrastiveRecognition(clip, CategoryName(), templates="raw_name")
    with caplog.at_level("INFO"):
        scored = score(task, tmp_path, WeightEnsembling(ratios=[0.2]))
    assert not [name for name in scored if "ensembled" in name]
    assert "both towers are frozen, and what is trained beside them has no original weights" in caplog.text


def test_a_share_of_zero_is_saved_but_not_scored_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = tuned_task()
    with caplog.at_level("INFO"):
        scored = score(task, tmp_path, WeightEnsembling(ratios=[0, 0.5], save_to=tmp_path / "saved"))
    assert "does not score ensembled_0: it is the weights as trained" in caplog.text
    assert "test/unseen/ensembled_0.5/top1" in scored
    assert not any("ensembled_0/" in name for name in scored)
    saved = VideoCLIP(str(tmp_path / "saved" / "ensembled_0"))
    assert all(torch.equal(weight, task.video_clip.state_dict()[name]) for name, weight in saved.state_dict().items())
    # only the pre-trained weights have this name
    assert not task.weight_sets.are_original()
    assert ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver()).weight_sets.are_original()
