import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.datamodules import plan_batches
from ost_lightning.datamodules.batching import choose_batches
from ost_lightning.errors import UserError


def test_batch_of_the_paper_on_eight_devices_and_on_one() -> None:
    assert str(plan_batches(256, 8, 4)) == "global batch of 256 = 8 devices x 4 videos x 8 accumulation steps"
    assert str(plan_batches(256, 1, 32)) == "global batch of 256 = 1 device x 32 videos x 8 accumulation steps"
    assert str(plan_batches(64, 8, None)) == "global batch of 64 = 8 devices x 8 videos x 1 accumulation step"


@given(total=st.integers(1, 600), devices=st.integers(1, 16), limit=st.none() | st.integers(1, 40))
def test_plan_adds_up_or_names_numbers_that_do(total: int, devices: int, limit: int | None) -> None:
    try:
        plan = plan_batches(total, devices, limit)
    except UserError as error:
        message = str(error)
        numbers_are_named = str(total) in message and str(devices) in message
        if not numbers_are_named:
            raise
    else:
        assert plan.devices * plan.device_batch * plan.accumulation == total
        assert limit is None or plan.device_batch <= limit


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ((250, 8, None), r"250 videos can't be divided evenly over 8 devices: set .*global_batch_size to 248 or 256"),
        ((3, 8, None), "to 8"),
        ((64, 2, 5), r"gives 32 to each of 2 devices, .*max_videos_per_device \(5\): set it to 4, or .* to 60"),
        ((0, 1, None), "at least 1"),
        ((8, 1, 0), "at least 1"),
    ],
)
def test_numbers_that_do_not_divide(numbers: tuple[int, int, int | None], what: str) -> None:
    with pytest.raises(UserError, match=what):
        plan_batches(*numbers)


@given(total=st.integers(1, 300), devices=st.integers(1, 8), limit=st.integers(2, 12))
def test_numbers_in_the_message_work(total: int, devices: int, limit: int) -> None:
    try:
        plan_batches(total, devices, limit)
    except UserError as error:
        words = str(error).rstrip(".").split()
        plan_batches(int(words[-1]), devices, None)


@pytest.mark.parametrize(
    ("videos", "devices", "limit", "batches"),
    [
        (500, 1, 8, (8, 4)),
        (32, 1, None, (32, 1)),
        (22, 1, 8, (7, 3)),  # 21 of 22: 22 would be eleven passes of two
        (9, 2, 8, (4, 1)),
        (1, 1, 8, (1, 1)),
        (200, 64, None, (1, 1)),
    ],
)
def test_batch_that_follows_from_the_videos(
    videos: int, devices: int, limit: int | None, batches: tuple[int, int]
) -> None:
    plan = choose_batches(videos, devices, limit)
    assert (plan.devices, plan.device_batch, plan.accumulation) == (devices, *batches)


@given(videos=st.integers(1, 300), devices=st.integers(1, 16), limit=st.none() | st.integers(1, 40))
def test_chosen_batch_is_valid_and_nearly_as_large_as_possible(videos: int, devices: int, limit: int | None) -> None:
    if videos < devices:
        with pytest.raises(UserError, match="fewer than the"):
            choose_batches(videos, devices, limit)
        return
    plan = choose_batches(videos, devices, limit)
    possible = min(videos, max(32, devices)) // devices * devices
    assert 3 * plan.total >= 2 * possible
    assert plan.total <= possible
    assert plan_batches(plan.total, devices, plan.device_batch) == plan
    assert limit is None or plan.device_batch <= limit
