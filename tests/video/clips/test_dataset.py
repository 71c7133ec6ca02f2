import os
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.video import (
    Clip,
    ClipBatch,
    EvaluationClips,
    EvaluationTransform,
    FrameSampler,
    ReadFailure,
    ReadSettings,
    SampleKey,
    TrainingClips,
    TrainingSampler,
    TrainingTransform,
    VideoRecord,
    collate_clips,
    open_video,
)
from ost_lightning.video.clips.cropping import crop_frames
from tests.operations import lines_run
from tests.videos import write_video

SIDE = 32


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    """Six good videos of two classes, and two broken ones: one of class 0, one that is alone in class 2."""
    folder = tmp_path_factory.mktemp("clips")
    good = [VideoRecord(write_video(folder / f"{k}.mp4", 12, seed=k), label=k % 2, id=f"{k}") for k in range(6)]
    broken = folder / "broken.mp4"
    broken.write_bytes(b"not a video")
    return [*good, VideoRecord(broken, 0, "broken"), VideoRecord(broken, 2, "alone")]


def training(records: list[VideoRecord], seed: int = 0) -> TrainingClips:
    return TrainingClips(records, sampler=FrameSampler(4), transform=TrainingTransform(SIDE), short_side=40, seed=seed)


def evaluation(records: list[VideoRecord]) -> EvaluationClips:
    return EvaluationClips(records, sampler=FrameSampler(4, 2), transform=EvaluationTransform(SIDE, 3), short_side=40)


def clip_of(sample: Clip | UserError) -> Clip:
    assert isinstance(sample, Clip)
    return sample


def test_training_sample_depends_on_seed_epoch_and_index_only(records: list[VideoRecord]) -> None:
    first = clip_of(training(records)[SampleKey(1, 0)])
    torch.rand(17)  # the state of the global generator does not matter
    again = clip_of(training(records)[SampleKey(1, 0)])
    assert first.frames is not None
    assert again.frames is not None
    assert torch.equal(first.frames, again.frames)
    for other in (training(records)[SampleKey(1, 1)], training(records, seed=1)[SampleKey(1, 0)]):
        changed = clip_of(other).frames
        assert changed is not None
        assert not torch.equal(first.frames, changed)


def test_reading_leaves_the_global_generator_alone(records: list[VideoRecord]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training(records)[SampleKey(0, 0)]
    assert torch.equal(torch.rand(3), expected)


class Inverted(torch.nn.Module):
    """Inverts colors, and notes what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.seen.append(frames)
        return 255 - frames


def test_before_the_crop_whole_frames_are_changed(records: list[VideoRecord]) -> None:
    """Frames and crop are those that are drawn without a change."""
    transform = TrainingTransform(SIDE, rand_augment=(1, 9), rand_augment_before_crop=True)
    changed = TrainingClips(records, sampler=FrameSampler(4), transform=transform, short_side=40, seed=0)
    inverted = transform.before_crop = Inverted()
    found = clip_of(changed[SampleKey(1, 0)])
    assert found.frames is not None
    [seen] = inverted.seen
    assert found.seed is not None
    generator = torch.Generator().manual_seed(found.seed)
    with open_video(records[1].path) as video:
        assert torch.equal(seen, video.read(FrameSampler(4).random(12, generator)[0], 40))
    spec = transform.crop_spec(*seen.shape[-2:], generator)
    assert torch.equal(found.frames, crop_frames(255 - seen, spec, "bicubic"))


@pytest.mark.parametrize(("workers", "start"), [(1, "spawn"), (2, "fork")])
def test_workers_do_not_change_the_data(records: list[VideoRecord], workers: int, start: str) -> None:
    def batches(count: int) -> list[ClipBatch]:
        loader = DataLoader(
            training(records[:6]),
            batch_size=3,
            sampler=TrainingSampler(6, batch_size=3, seed=0),
            collate_fn=collate_clips,
            num_workers=count,
            multiprocessing_context=start if count else None,
        )
        return list(loader)

    for alone, parallel in zip(batches(0), batches(workers), strict=True):
        assert (alone.ids, alone.seeds) == (parallel.ids, parallel.seeds)
        assert len(set(alone.seeds)) == 3
        assert torch.equal(alone.frames, parallel.frames)
        assert parallel.frames.is_shared()


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_three_crops_are_the_same_in_a_worker(records: list[VideoRecord], start: str) -> None:
    clips = EvaluationClips(
        records[:2], sampler=FrameSampler(2), transform=EvaluationTransform(SIDE, crops=3), short_side=40
    )
    keys = [SampleKey(0, 0), SampleKey(0, 1)]
    loader = DataLoader(clips, 2, sampler=keys, collate_fn=collate_clips, num_workers=1, multiprocessing_context=start)
    (batch,) = loader
    frames = [clip_of(clips[key]).frames for key in keys]
    assert batch.frames.shape[:3] == (2, 3, 2)
    assert torch.equal(batch.frames, torch.stack(frames))


def test_hung_file_becomes_an_error_with_its_name(records: list[VideoRecord], tmp_path: Path) -> None:
    """A pipe that nobody writes to hangs like a file on a dead network share."""
    pipe = tmp_path / "hung.mp4"
    os.mkfifo(pipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_file", lambda self: True)
        clips = EvaluationClips(
            [VideoRecord(pipe, 0, "hung")],
            sampler=FrameSampler(2),
            transform=EvaluationTransform(SIDE),
            short_side=40,
            reading=ReadSettings(timeout=0.2),
        )
        clip = clip_of(clips[SampleKey(0, 0)])
    assert clip.frames is None
    assert clip.failures == (ReadFailure("hung", f"{pipe}: reading it took longer than 0.2 s (loading.read_timeout)"),)
    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # ends the waiting thread


def test_broken_training_video_is_replaced_by_one_of_its_class(records: list[VideoRecord]) -> None:
    clip = clip_of(training(records)[SampleKey(6, 0)])
    assert clip.label == 0
    assert clip.id in {"0", "2", "4"}
    assert [failure.id for failure in clip.failures] == ["broken"]
    assert "broken.mp4" in clip.failures[0].reason


def test_class_without_a_readable_video_gives_an_empty_clip(records: list[VideoRecord]) -> None:
    clip = clip_of(training(records)[SampleKey(7, 0)])
    assert clip.frames is None
    assert [failure.id for failure in clip.failures] == ["alone"]


def test_broken_evaluation_video_is_never_replaced(records: list[VideoRecord]) -> None:
    batch = collate_clips([evaluation(records)[SampleKey(index, 0)] for index in (5, 6)])
    assert isinstance(batch, ClipBatch)
    assert batch.ids == ("5", "broken")
    assert batch.decoded.tolist() == [True, False]
    assert batch.frames.shape == (2, 6, 4, 3, SIDE, SIDE)
    assert not batch.frames[1].any()
    assert batch.labels.tolist() == [1, 0]
    assert batch.seeds == ()


def test_crops_of_a_view_are_adjacent(records: list[VideoRecord]) -> None:
    frames = clip_of(evaluation(records)[SampleKey(0, 0)]).frames
    assert frames is not None
    with open_video(records[0].path) as video:
        for view, indices in enumerate(FrameSampler(4, 2).middle(len(video))):
            crops = video.read_crops(indices, 40, EvaluationTransform(SIDE, 3).crop_spec)
            assert torch.equal(frames[3 * view : 3 * view + 3], crops)


def test_batch_without_any_readable_video(records: list[VideoRecord]) -> None:
    batch = collate_clips([evaluation(records)[SampleKey(6, 0)]])
    assert isinstance(batch, ClipBatch)
    assert batch.decoded.tolist() == [False]


def test_record_with_times_reads_that_part(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", 50)
    settings = {"sampler": FrameSampler(2), "transform": EvaluationTransform(SIDE), "short_side": 40}
    whole = EvaluationClips([VideoRecord(path, 0, "a")], **settings)[SampleKey(0, 0)]
    part = EvaluationClips([VideoRecord(path, 0, "a", 1.0, 1.2)], **settings)[SampleKey(0, 0)]
    # 25 frames per second: the part consists of frames 25 to 29, the middles of its two segments are 26 and 28
    frames = clip_of(part).frames
    assert frames is not None
    with open_video(path) as video:
        expected = video.read_crops([26, 28], 40, EvaluationTransform(SIDE).crop_spec)
    assert torch.equal(frames, expected)
    assert not torch.equal(frames, clip_of(whole).frames)
    clips = EvaluationClips([VideoRecord(path, 0, "a", 1.0, 1.2), VideoRecord(tmp_path / "x", 0, "gone")], **settings)
    assert clips.seconds_of("a") == pytest.approx((26 / 25, 28 / 25))
    assert clips.seconds_of("gone") == clips.seconds_of("unknown") == ()


def test_mistakes_in_settings_leave_workers_as_values(records: list[VideoRecord]) -> None:
    dataset = EvaluationClips(records, sampler=FrameSampler(2), transform=EvaluationTransform(50), short_side=40)
    loader = DataLoader(dataset, batch_size=1, sampler=[SampleKey(0, 0)], collate_fn=collate_clips, num_workers=1)
    (outcome,) = list(loader)
    assert isinstance(outcome, UserError)
    assert "too small for a crop of 50" in str(outcome)


def test_batch_moves_and_reports_wrong_shapes() -> None:
    frames = torch.zeros((2, 1, 4, 3, 8, 8), dtype=torch.uint8)
    batch = ClipBatch(frames, torch.tensor([0, 1]), torch.tensor([True, True]), ("a", "b"), (ReadFailure("c", "why"),))
    moved = batch.to("meta")
    assert moved.frames.device.type == moved.labels.device.type == "meta"
    assert (moved.ids, moved.failures, len(moved)) == (batch.ids, batch.failures, 2)
    with pytest.raises(ValueError, match=r"not a batch of clips: frames \(2, 4, 3, 8, 8\)"):
        ClipBatch(frames[:, 0], batch.labels, batch.decoded, batch.ids)


def test_random_views_depend_on_the_seed_and_the_video(tmp_path: Path) -> None:
    records = [VideoRecord(write_video(tmp_path / f"{k}.mp4", 40, seed=k), 0, f"{k}") for k in range(2)]

    def clips(seed: int | None) -> list[torch.Tensor]:
        data = EvaluationClips(
            records,
            sampler=FrameSampler(4, views=3),
            transform=EvaluationTransform(32),
            short_side=32,
            view_seed=seed,
        )
        read = [data[SampleKey(index, 0)] for index in (1, 0)]
        return [clip.frames for clip in read if isinstance(clip, Clip) and clip.frames is not None]

    fixed, one, again, other = clips(None), clips(1), clips(1), clips(2)
    assert [tuple(clip.shape) for clip in one] == [(3, 4, 3, 32, 32)] * 2
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[0], fixed[0])
    assert not torch.equal(one[0][0], one[0][1])


def test_the_repr_of_a_clip_shows_shapes_instead_of_pixels(records: list[VideoRecord]) -> None:
    dataset = EvaluationClips(records, sampler=FrameSampler(2), transform=EvaluationTransform(SIDE), short_side=40)
    label = records[0].label
    assert (
        repr(dataset[SampleKey(0, 0)]) == f"Clip(id='0', label={label}, frames=(1, 2, 3, {SIDE}, {SIDE}), failures=0)"
    )
    assert repr(Clip(None, 1, "a")) == "Clip(id='a', label=1, frames=None, failures=0)"


def test_other_videos_of_the_class_are_looked_at_only_if_one_cannot_be_read(records: list[VideoRecord]) -> None:
    first = records[0]
    alone, among_many = training([first]), training([first, *[VideoRecord(first.path, 0, f"{k}") for k in range(999)]])
    alone[SampleKey(0, 0)]  # the first reading of a file takes more
    work = [lines_run(lambda data=data: data[SampleKey(0, 0)]) for data in (alone, among_many)]  # type: ignore[misc]
    assert work[0] == work[1]
