import re
from itertools import islice, pairwise
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.video import EvaluationSampler, FrameSampler, TrainingSampler

counts = st.integers(1, 400)


def test_middle_of_each_segment() -> None:
    # 300 frames, T = 32: segments of 9.375 frames, the middles of the first and last are 4.69 and 295.3
    frames = FrameSampler(32).middle(300)[0].tolist()
    assert frames[0] == 4
    assert frames[-1] == 295


@given(frames=st.integers(1, 64), views=st.integers(1, 5), available=counts)
def test_middle_is_ordered_in_range_and_repeatable(frames: int, views: int, available: int) -> None:
    sampler = FrameSampler(frames, views)
    indices = sampler.middle(available)
    assert indices.shape == (views, frames)
    assert indices.dtype == torch.int64
    assert 0 <= int(indices.min()) <= int(indices.max()) < available
    assert bool((indices.diff(dim=1) >= 0).all())
    assert torch.equal(indices, sampler.middle(available))


@given(frames=st.integers(1, 64), available=counts, seed=st.integers(0, 1000))
def test_random_draws_one_frame_of_every_segment(frames: int, available: int, seed: int) -> None:
    drawn = FrameSampler(frames).random(available, torch.Generator().manual_seed(seed))[0]
    for segment, index in enumerate(drawn.tolist()):
        # the drawn point lies in the segment, but the frame around it may begin before the segment
        assert segment * available // frames <= index < (segment + 1) * available / frames


def test_random_reaches_every_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = {int(index) for _ in range(300) for index in FrameSampler(4).random(13, generator).flatten()}
    assert seen == set(range(13))


def released_choices(available: int, frames: int) -> list[set[int]]:
    """Frames that mmaction2's `SampleFrames` can draw for each position of a clip, in training."""
    segment = floor(available / frames)
    if segment:
        return [set(range(k * segment, (k + 1) * segment)) for k in range(frames)]
    spread = np.around(np.arange(frames) * (available / frames))
    return [{int(index) % available} for index in spread]


@pytest.mark.parametrize(
    ("frames", "available"),
    [*((32, count) for count in (60, 40, 32, 33, 63, 64, 31, 20, 2, 1, 300)), (4, 13), (8, 8), (8, 7), (16, 3), (1, 7)],
)
def test_without_tail_frames_the_segments_are_those_of_the_released_code(frames: int, available: int) -> None:
    sampler, generator = FrameSampler(frames, 50, keep_tail_frames=False), torch.Generator().manual_seed(0)
    drawn = torch.cat([sampler.random(available, generator) for _ in range(4)])
    assert drawn.dtype == torch.int64
    assert [set(column) for column in drawn.T.tolist()] == released_choices(available, frames)


def test_without_tail_frames_the_last_ones_are_never_drawn() -> None:
    def last(available: int, **settings: bool) -> int:
        return int(FrameSampler(32, 500, **settings).random(available, torch.Generator().manual_seed(1)).max())

    assert {available: last(available, keep_tail_frames=False) for available in (60, 300)} == {60: 31, 300: 287}
    assert {available: last(available) for available in (60, 300)} == {60: 59, 300: 299}
    with pytest.raises(ValueError, match="0 frames"):
        FrameSampler(8, keep_tail_frames=False).random(0)


@pytest.mark.parametrize("available", [1, 2, 5])
def test_frames_of_short_videos_are_repeated_in_order(available: int) -> None:
    indices = FrameSampler(8).middle(available)[0].tolist()
    assert set(indices) == set(range(available))
    assert indices == sorted(indices)


def test_views_are_distinct_and_interleave() -> None:
    views = FrameSampler(4, views=3).middle(120)
    assert len({tuple(view.tolist()) for view in views}) == 3
    assert all(bool((first < second).all()) for first, second in pairwise(views))


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"frames": 8, "views": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        FrameSampler(**wrong)


def test_an_empty_video_is_refused() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        FrameSampler(8).middle(0)


@given(size=st.integers(1, 200), per_device=st.integers(1, 6), world=st.integers(1, 4), epoch=st.integers(0, 3))
def test_global_batches_do_not_depend_on_the_number_of_processes(
    size: int, per_device: int, world: int, epoch: int
) -> None:
    batch = per_device * world

    def global_batches(processes: int) -> list[set[int]]:
        shares = []
        for rank in range(processes):
            sampler = TrainingSampler(size, batch_size=batch, seed=7, rank=rank, world_size=processes)
            sampler.set_epoch(epoch)
            keys = list(sampler)
            assert len(keys) == len(sampler)
            assert all(key.epoch == epoch for key in keys)
            shares.append([key.index for key in keys])
        part = batch // processes
        return [{index for share in shares for index in share[k * part : (k + 1) * part]} for k in range(size // batch)]

    alone = global_batches(1)
    assert global_batches(world) == alone
    assert sum(len(group) for group in alone) == size // batch * batch


@given(batches=st.integers(1, 3), micro=st.integers(1, 4), accumulation=st.integers(1, 4), world=st.integers(1, 4))
def test_micro_batches_do_not_depend_on_the_number_of_processes(
    batches: int, micro: int, accumulation: int, world: int
) -> None:
    micro_batch, total = micro * world, micro * world * accumulation

    def micro_batches(processes: int) -> list[set[int]]:
        shares = [
            [
                key.index
                for key in TrainingSampler(
                    total * batches + 1,
                    batch_size=total,
                    seed=3,
                    rank=rank,
                    world_size=processes,
                    accumulation=accumulation,
                )
            ]
            for rank in range(processes)
        ]
        part = micro_batch // processes
        return [
            {index for share in shares for index in share[m * part : (m + 1) * part]}
            for m in range(accumulation * batches)
        ]

    assert micro_batches(world) == micro_batches(1)


def test_skipping_affects_one_epoch_only() -> None:
    sampler = TrainingSampler(20, batch_size=4, seed=0, rank=1, world_size=2)
    keys = list(sampler)
    sampler.skip(6)
    assert list(sampler) == keys[6:]
    assert list(sampler) == keys


def test_the_order_differs_between_epochs_and_seeds() -> None:
    orders = set()
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        sampler = TrainingSampler(50, batch_size=10, seed=seed)
        sampler.set_epoch(epoch)
        orders.add(tuple(key.index for key in sampler))
    assert len(orders) == 3


@given(size=st.integers(0, 50), world=st.integers(1, 5))
def test_evaluation_visits_every_video_once(size: int, world: int) -> None:
    samplers = [EvaluationSampler(size, rank=rank, world_size=world) for rank in range(world)]
    visited = [key.index for sampler in samplers for key in sampler]
    assert sorted(visited) == list(range(size))
    assert sum(len(sampler) for sampler in samplers) == size


def test_the_last_point_of_the_last_segment_is_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding a segment's number to the largest number that can be drawn, just below 1, rounds it up to 1."""
    largest = 1 - 2.0**-53
    assert (torch.ones((), dtype=torch.float64) + largest).item() == 2
    monkeypatch.setattr(torch, "rand", lambda size, **kwargs: torch.full(size, largest, dtype=torch.float64))
    assert int(FrameSampler(2).random(50).max()) == 49
    assert FrameSampler(2, keep_tail_frames=False).random(51).tolist() == [[24, 49]]


@given(
    frames=st.integers(1, 16), stride=st.integers(1, 20), views=st.integers(1, 4), available=counts, seed=st.integers(0)
)
def test_windows_have_a_constant_stride(frames: int, stride: int, views: int, available: int, seed: int) -> None:
    sampler = FrameSampler(frames, views, stride=stride)
    for indices in (sampler.middle(available), sampler.random(available, torch.Generator().manual_seed(seed % 2**32))):
        assert indices.shape == (views, frames)
        # frames beyond the end are the last one
        expected = (indices[:, :1] + torch.arange(frames) * stride).clamp(max=available - 1)
        assert torch.equal(indices, expected)
        if available <= (frames - 1) * stride:
            assert bool((indices[:, 0] == 0).all())
        else:
            assert torch.equal(indices[:, -1] - indices[:, 0], torch.full((views,), (frames - 1) * stride))


def test_windows_of_evaluation_are_evenly_spread() -> None:
    # 8 frames at stride 16 span 113 of 300 frames, so that windows start at 0 to 187
    assert FrameSampler(8, 3, stride=16).middle(300)[:, 0].tolist() == [0, 94, 187]
    assert FrameSampler(8, stride=16).middle(300)[0, 0].item() == 94


def test_random_windows_reach_both_ends() -> None:
    sampler, generator = FrameSampler(3, stride=2), torch.Generator().manual_seed(0)
    starts = {int(sampler.random(8, generator)[0, 0]) for _ in range(100)}
    assert starts == {0, 1, 2, 3}


@pytest.mark.parametrize("stride", [0, (1, 0), ()])
def test_a_stride_below_one_is_rejected(stride: int | tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=rf"stride is {re.escape(str(stride).strip('(),'))}|stride is \[.*: it must be"):
        FrameSampler(8, stride=stride)


def test_of_several_strides_one_is_drawn_for_each_window() -> None:
    """The set of the released A5: three times in six, the distance is 3."""
    indices = FrameSampler(16, 6000, stride=(1, 2, 3, 3, 3, 4)).random(300, torch.Generator().manual_seed(0))
    distances = indices.diff(dim=1)
    assert bool((distances == distances[:, :1]).all())
    shares = torch.bincount(distances[:, 0], minlength=5) / len(indices)
    assert shares.tolist() == pytest.approx([0, 1 / 6, 1 / 6, 1 / 2, 1 / 6], abs=0.02)
    for stride in (1, 2, 3, 4):  # windows with each distance start everywhere, and end within the video
        starts = indices[distances[:, 0] == stride, 0]
        last = 300 - 15 * stride - 1
        assert (int(starts.min()), int(starts.max())) == (pytest.approx(0, abs=3), pytest.approx(last, abs=3))
        assert int(starts.max()) <= last
        assert float(starts.double().mean()) == pytest.approx(last / 2, rel=0.05)


@pytest.mark.parametrize(("available", "possible"), [(61, {1, 2, 3, 4}), (60, {1, 2, 3}), (31, {1, 2}), (30, {1})])
def test_a_stride_that_the_video_is_too_short_for_is_replaced_by_the_smallest(
    available: int, possible: set[int]
) -> None:
    sampler = FrameSampler(16, 400, stride=(1, 2, 3, 3, 3, 4))
    drawn = sampler.random(available, torch.Generator().manual_seed(0))
    assert set(drawn.diff(dim=1).flatten().tolist()) == possible
    # one in six draws 4: where it doesn't fit, 1 is twice as frequent
    ones = float((drawn[:, 1] - drawn[:, 0] == 1).double().mean())
    assert ones == pytest.approx(1 - (len(possible - {1}) and {4: 5, 3: 4, 2: 1}[len(possible)] / 6), abs=0.07)
    if available < 16:
        assert bool((drawn[:, -1] == available - 1).all())


def test_evaluation_takes_the_median_of_several_strides() -> None:
    sampler = FrameSampler(16, 3, stride=(1, 2, 3, 3, 3, 4))
    assert torch.equal(sampler.middle(300), FrameSampler(16, 3, stride=3).middle(300))
    assert torch.equal(sampler.middle(45), FrameSampler(16, 3, stride=1).middle(45))
    assert torch.equal(FrameSampler(4, stride=(5, 1)).middle(90), FrameSampler(4, stride=1).middle(90))


def test_a_list_of_one_stride_is_that_stride() -> None:
    one, listed = (FrameSampler(4, 3, stride=stride) for stride in (2, (2,)))
    assert torch.equal(one.middle(50), listed.middle(50))
    assert torch.equal(*(sampler.random(50, torch.Generator().manual_seed(5)) for sampler in (one, listed)))


def test_keys_are_made_one_by_one() -> None:
    first = islice(EvaluationSampler(10**12, rank=1, world_size=3), 3)
    assert [key.index for key in first] == [1, 4, 7]
    assert not isinstance(iter(TrainingSampler(8, batch_size=2, seed=0)), type(iter([])))
