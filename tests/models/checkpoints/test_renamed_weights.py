"""Checkpoints from earlier versions are read like current ones."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ost_lightning.cli import main
from ost_lightning.models import VideoCLIP, use_current_names, weights_digest
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from tests.interruptions import Interrupted
from tests.test_resuming import RUN, interruption, same_run

SETTINGS = [
    "--config=toyworld",
    "--data.train_clips=1",
    "--data.test_clips=1",
    "--data.clips.frames=2",
    "--data.loading.workers=0",
    "--trainer.callbacks=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--tracking.wandb=false",
]
TRAINING = [
    *SETTINGS,
    "--config=modes/layer_decay",  # several parameter groups, because optimizer states are identified by their order
    "--config=modes/swa",  # a callback that stores weights in the checkpoint
    "--trainer.callbacks.swa_epoch_start=1",
    "--data.loading.global_batch_size=4",
    "--checkpoint.every_n_steps=2",
    "--trainer.max_epochs=3",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=0",
    "--trainer.log_every_n_steps=1",
]


def with_old_names(value: Any) -> Any:
    """A checkpoint as versions without `VideoCLIP.encoder` wrote it, which had no digests and no record of clips."""
    if not isinstance(value, dict):
        return value
    return {
        name.replace("video_clip.encoder.model.", "video_clip.clip.") if isinstance(name, str) else name: part
        for name, part in ((name, with_old_names(part)) for name, part in value.items())
        if name not in ("ost_digests", "ost_clips")
    }


def old_checkpoint(model: VideoCLIP, file: Path) -> Path:
    state = {f"video_clip.{name}": weight for name, weight in model.state_dict().items()}
    torch.save(with_old_names({"state_dict": state}), file)
    return file


def test_names_are_changed_everywhere_in_the_same_order() -> None:
    checkpoint: dict[str, Any] = {
        "epoch": 3,
        "state_dict": {"video_clip.clip.b": 1, "video_clip.temporal_head.a": 2, "video_clip.clip.a": 3},
        "callbacks": {"Averaging": {"average": {"video_clip.clip.b": 4}}},
        "optimizer_states": [{"state": {0: {"step": 5}}}],
    }
    use_current_names(checkpoint)
    assert list(checkpoint) == ["epoch", "state_dict", "callbacks", "optimizer_states"]
    names = ["video_clip.encoder.model.b", "video_clip.temporal_head.a", "video_clip.encoder.model.a"]
    assert list(checkpoint["state_dict"].items()) == list(zip(names, (1, 2, 3), strict=True))
    assert checkpoint["callbacks"] == {"Averaging": {"average": {"video_clip.encoder.model.b": 4}}}
    before = with_old_names(checkpoint)
    use_current_names(checkpoint)
    assert with_old_names(checkpoint) == before


@pytest.mark.parametrize("adapted", [False, True])
def test_initial_weights(adapted: bool, tmp_path: Path) -> None:
    def make(**options: Any) -> VideoCLIP:
        return AdaptedVideoCLIP("tiny", lora=LoRA(rank=2), **options) if adapted else VideoCLIP("tiny", **options)

    tuned = make()
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.01)
    initialized = make(init_from=old_checkpoint(tuned, tmp_path / "old.ckpt"))
    assert weights_digest(initialized) == weights_digest(tuned)


@pytest.mark.slow  # three trainings; the tests above show the change of names
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_old_run_is_resumed_and_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    fit = ["fit", *TRAINING]
    assert main(fit) == 0
    Path("runs").rename("uninterrupted")
    with pytest.raises(Interrupted):
        main([*fit, *interruption("batch_start", 4)])
    last = RUN / "checkpoints/last.ckpt"
    saved = torch.load(last, weights_only=True)
    assert saved["callbacks"]["EpochWeightAveraging"]["average_model_state"]
    torch.save(with_old_names(saved), last)
    assert "video_clip.clip.logit_scale" in torch.load(last, weights_only=True)["state_dict"]
    assert main([*fit, "--ckpt_path=last"]) == 0
    same_run(RUN, Path("uninterrupted/toyworld/version_0"))

    torch.save(with_old_names(torch.load(last, weights_only=True)), "old.ckpt")
    scores = []
    for version, file in enumerate((str(last), "old.ckpt"), 1):
        assert main(["test", *SETTINGS, "--trainer.limit_test_batches=1", f"--ckpt_path={file}"]) == 0
        scores.append((RUN.parent / f"version_{version}/results.json").read_text())
    assert '"weights": "' in scores[0]
    digest = [text.split('"weights": "')[1][:32] for text in scores]
    assert digest[0] == digest[1]
