from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer

from ost_lightning.datamodules import ClipSettings, LabeledVideos, LoadingSettings, VideoDataModule, base
from ost_lightning.errors import UserError
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.text import LabelSpace
from ost_lightning.video import ClipBatch, VideoRecord
from ost_lightning.vocabulary import EvaluationStage

HALF = (0.5, 0.5, 0.5)
LABELS = LabelSpace(("juggling", "swimming"))


class Own(VideoDataModule):
    """Four videos for every part."""

    def __init__(self, folder: Path, clips: ClipSettings = ClipSettings(frames=2), **loading: object) -> None:
        settings = {"workers": 0, "global_batch_size": 4, "max_videos_per_device": 2, "seed": 0, **loading}
        super().__init__(clips, LoadingSettings(**settings))
        self.videos = LabeledVideos([VideoRecord(folder / f"{k}.mp4", k % 2, f"{k}.mp4") for k in range(4)], LABELS)

    def training_videos(self) -> LabeledVideos:
        return self.videos

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        return {"own": self.videos, "again": self.videos}


def test_loaders_carry_the_labels_of_their_videos(folder: Path) -> None:
    data = Own(folder)
    data.configure_for(Preprocessing(48, HALF, HALF))
    data.setup("fit")
    data.setup("test")
    assert data.train_dataloader().labels is LABELS
    for loaders in (data.val_dataloader(), data.test_dataloader()):
        assert [(loader.set.name, loader.set.listed) for loader in loaders] == [("own", 4), ("again", 4)]
        assert all(loader.set.labels is LABELS and loader.store is None for loader in loaders)


@pytest.mark.parametrize(("limit", "count"), [(2, 2), (None, 1)])
def test_whole_steps_are_tuples_of_micro_batches(folder: Path, limit: int | None, count: int) -> None:
    data = Own(folder, max_videos_per_device=limit)
    data.configure_for(Preprocessing(48, HALF, HALF), whole_steps=True)
    data.setup("fit")
    (step,) = data.train_dataloader()
    assert isinstance(step, tuple)
    assert [tuple(part.frames.shape) for part in step] == [(4 // count, 1, 2, 3, 48, 48)] * count
    one_by_one = Own(folder, max_videos_per_device=limit)
    one_by_one.configure_for(Preprocessing(48, HALF, HALF))
    one_by_one.setup("fit")
    batches = list(one_by_one.train_dataloader())
    assert all(isinstance(batch, ClipBatch) for batch in batches)
    assert [batch.ids for batch in batches] == [part.ids for part in step]


def test_whole_steps_are_not_accumulated_again(folder: Path) -> None:
    for whole_steps, accumulated in ((True, 1), (False, 2)):
        data = Own(folder)
        data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=False)
        data.configure_for(Preprocessing(48, HALF, HALF), whole_steps=whole_steps)
        data.setup("fit")
        assert data.trainer.accumulate_grad_batches == accumulated


def test_clips_are_checked_before_any_video_is_located(folder: Path) -> None:
    missing = folder / "nowhere"
    unknown = Own(folder)
    unknown.setup("test")  # lists can be read without a checkpoint
    with pytest.raises(UserError, match=r"clips\.crop_size is not set"):
        unknown.test_dataloader()
    with pytest.raises(UserError, match=r"clips\.crop_size is 48 with frames of clips\.short_side 256"):
        Own(missing, ClipSettings(crop_size=48, short_side=256)).setup("test")
    with pytest.raises(UserError, match=r"clips\.crop_size is 48 with frames of clips\.short_side 256"):
        Own(missing, ClipSettings(crop_size=48, short_side=256)).configure_for(Preprocessing(48, HALF, HALF))
    settled = Own(folder, ClipSettings(frames=2, crop_size=48, short_side=54))
    settled.setup("test")
    settled.test_dataloader()
    assert (settled.clips.framing, settled.clips.resize) == ("crop", "bicubic")


def drawn(data: VideoDataModule, rank: int, **state: object) -> torch.Tensor:
    """Random numbers that a training step draws on one process."""
    known = {"training": True, "predicting": False, "global_rank": rank, "world_size": 2, **state}
    data.trainer = SimpleNamespace(**known)
    torch.manual_seed(1)
    data.on_before_batch_transfer((), 0)
    return torch.rand(4)


def test_draws_differ_between_processes_and_repeat_per_step(folder: Path) -> None:
    data = Own(folder)
    first, second = drawn(data, 0), drawn(data, 1)
    assert not torch.equal(first, second)
    assert torch.equal(drawn(data, 0), first)
    data.load_state_dict({"epoch": 0, "batches": 3})
    assert not torch.equal(drawn(data, 0), first)
    torch.manual_seed(1)
    untouched = torch.rand(4)
    assert torch.equal(drawn(data, 0, training=False), untouched)  # evaluation leaves the generator untouched


def test_batch_and_workers_follow_from_videos_and_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Own(folder, global_batch_size=None, max_videos_per_device=3, workers=None)
    data.configure_for(Preprocessing(48, HALF, HALF))
    data.prepare_data()
    data.setup("fit")
    assert (data.loading.global_batch_size, data.loading.max_videos_per_device) == (4, 2)
    for cores, workers in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(base, "usable_cores", lambda cores=cores: cores)
        assert data.workers == workers
        assert data.train_dataloader().num_workers == workers
    assert Own(folder, workers=7).workers == 7
