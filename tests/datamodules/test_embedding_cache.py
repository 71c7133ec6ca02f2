from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from ost_lightning.callbacks import WeightEnsembling
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.errors import UserError
from ost_lightning.evaluation import EmbeddingCacheWarning
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from tests.videos import write_video


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five videos of two classes, and an empty cache."""
    monkeypatch.setenv("OST_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "videos"
    for k in range(5):
        write_video(folder / f"{k}.mp4", 10, width=64, height=64, seed=k)
    (folder / "test.txt").write_text("".join(f"{k}.mp4 {k % 2}\n" for k in range(5)))
    (folder / "classes.txt").write_text("juggling\nswimming\n")
    (folder / "descriptors.json").write_text(
        '{"classes": {"juggling": {"spatio": ["a ball", "hands"], "temporal": ["throws", "catches"]}, '
        '"swimming": {"spatio": ["a pool", "water"], "temporal": ["dives", "swims"]}}}'
    )
    return folder


class Watched(VideoCLIP):
    """Counts the clips that are encoded."""

    encoded = 0

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        self.encoded += len(frames)
        return super().encode_frames(frames)


def evaluate(
    folder: Path,
    matcher: Matcher | None = None,
    *,
    gigabytes: float = 1.0,
    tuned: float = 0.0,
    precision: str = "32-true",
    verb: str = "test",
    clips: ClipSettings = ClipSettings(frames=4, short_side=54, crop_size=48),
    **loading: object,
) -> tuple[object, int]:
    """Metrics or predictions of one run, and how many clips were encoded."""
    video_clip = Watched("tiny")
    with torch.no_grad():
        for parameter in video_clip.parameters():
            parameter.mul_(1 + tuned)
    task = ContrastiveRecognition(video_clip, matcher or OptimalDescriptorSolver(), descriptors_per_class=2)
    data = VideoLists(
        folder,
        test={"own": VideoList(folder / "test.txt", str(folder))},
        clips=clips,
        loading=LoadingSettings(workers=0, evaluation_batch_size=2, embedding_cache_gigabytes=gigabytes, **loading),
    )
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        callbacks=[WeightEnsembling([0.5])],
        default_root_dir=folder,
    )
    if verb == "predict":
        return trainer.predict(task, datamodule=data), video_clip.encoded
    trainer.test(task, datamodule=data, verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}, video_clip.encoded


def test_the_second_test_encodes_nothing_and_scores_the_same(videos: Path) -> None:
    without, encoded = evaluate(videos, gigabytes=0, tuned=0.1)
    assert encoded == 10  # five videos by two sets of weights
    assert not (videos.parent / "cache").exists()
    assert evaluate(videos, tuned=0.1) == (without, 10)
    assert evaluate(videos, tuned=0.1) == (without, 0)
    # another matcher encodes nothing either
    assert evaluate(videos, CategoryName(), tuned=0.1) == (
        evaluate(videos, CategoryName(), gigabytes=0, tuned=0.1)[0],
        0,
    )


def test_prediction_reads_the_cache_too(videos: Path) -> None:
    expected, _ = evaluate(videos, gigabytes=0, verb="predict")
    evaluate(videos)
    assert evaluate(videos, verb="predict") == (expected, 0)


def test_other_weights_sampling_and_precision_are_encoded_anew(videos: Path) -> None:
    evaluate(videos)
    assert evaluate(videos)[1] == 0
    assert evaluate(videos, tuned=0.2)[1] == 10
    assert evaluate(videos, precision="bf16-mixed")[1] > 0
    assert evaluate(videos, clips=ClipSettings(frames=5, short_side=54, crop_size=48))[1] > 0
    assert evaluate(videos)[1] == 0


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_cached_embeddings_are_not_converted_to_the_precision(videos: Path, precision: str) -> None:
    for verb in ("test", "predict"):
        expected, _ = evaluate(videos, gigabytes=0, precision=precision, verb=verb)
        evaluate(videos, precision=precision)
        assert evaluate(videos, precision=precision, verb=verb) == (expected, 0)


def test_a_changed_video_is_encoded_again(videos: Path) -> None:
    evaluate(videos, tuned=0.1)
    write_video(videos / "2.mp4", 12, width=64, height=64, seed=9)
    scored, encoded = evaluate(videos, tuned=0.1)
    assert encoded == 4  # its batch of two, by two sets of weights
    assert scored == evaluate(videos, gigabytes=0, tuned=0.1)[0]


def test_a_damaged_file_is_reported_and_encoded_again(videos: Path) -> None:
    expected, _ = evaluate(videos, tuned=0.1)
    path = next((videos.parent / "cache").rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(EmbeddingCacheWarning, match="is damaged"):
        scored, encoded = evaluate(videos, tuned=0.1)
    assert scored == expected
    assert encoded in (2, 4)  # the batch that it belongs to, by both sets of weights; the last one has one video
    assert evaluate(videos, tuned=0.1) == (expected, 0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_unreadable_videos_follow_the_policy_with_a_full_cache_too(videos: Path) -> None:
    (videos / "3.mp4").write_text("not a video")
    first, encoded = evaluate(videos, on_decode_error="count", tuned=0.1)
    assert encoded == 8
    assert (first["test/own/videos"], first["test/own/undecodable"]) == (5, 1)
    assert evaluate(videos, on_decode_error="count", tuned=0.1) == (first, 0)
    with pytest.raises(UserError, match=r"3\.mp4.*can't be read|can't be read.*3\.mp4"):
        evaluate(videos, tuned=0.1)


def test_training_neither_reads_nor_fills_the_cache(videos: Path) -> None:
    task = ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver(), descriptors_per_class=2)
    listed = VideoList(videos / "test.txt", str(videos))
    data = VideoLists(
        videos,
        train=listed,
        val={"own": listed},
        clips=ClipSettings(frames=4, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, global_batch_size=4, embedding_cache_gigabytes=1),
    )
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    Trainer(accelerator="cpu", max_steps=1, default_root_dir=videos, **quiet).fit(task, datamodule=data)
    assert not (videos.parent / "cache").exists()
