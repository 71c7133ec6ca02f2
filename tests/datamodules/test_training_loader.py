from dataclasses import asdict, replace
from typing import Any

import pytest

from ost_lightning.datamodules.training_loader import EpochPlan, TrainingPosition
from ost_lightning.errors import UserError

PLAN = EpochPlan(batches=5, videos=40, global_batch_size=8, seed=0)


def saved(batches: int) -> dict[str, Any]:
    """The state of a checkpoint in epoch 2."""
    return TrainingPosition(2, batches, PLAN).state()


def restored(state: dict[str, Any]) -> TrainingPosition:
    position = TrainingPosition()
    position.restore(state)
    return position


def test_an_epoch_resumes_at_its_position() -> None:
    position = restored(saved(3))
    position.begin(2, PLAN)
    assert position.batches == 3
    assert position.state() == {"epoch": 2, "batches": 3, "plan": asdict(PLAN)}
    position.begin(3, replace(PLAN, seed=1))
    assert position.batches == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"global_batch_size": 7}, "this run has loading.global_batch_size 7 instead of 8. Resume"),
        ({"seed": 1}, "this run has the seed 1 instead of 0. Resume"),
        (
            {"batches": 10, "videos": 41},
            "this run has batches per epoch 10 instead of 5, training videos 41 instead of 40.",
        ),
    ],
)
def test_an_epoch_with_other_batches_is_refused_but_a_new_one_is_not(change: dict[str, int], message: str) -> None:
    other = replace(PLAN, **change)
    with pytest.raises(UserError, match=r"after 3 of 5 batches of epoch 2") as error:
        restored(saved(3)).begin(2, other)
    assert message in str(error.value)
    at_end = restored(saved(5))
    at_end.begin(2, other)  # the epoch is over, so that its batches can't come twice
    assert (at_end.batches, at_end.plan) == (5, other)
    at_end.begin(3, other)
    assert at_end.batches == 0
    at_start = restored(saved(0))
    at_start.begin(2, other)
    assert at_start.plan == other


def test_a_checkpoint_without_a_plan_resumes() -> None:
    position = restored({"epoch": 2, "batches": 3, "batches_per_epoch": 5})
    position.begin(2, PLAN)
    assert position.batches == 3


def test_seed_of_a_step_depends_on_epoch_batch_seed_and_rank() -> None:
    seeds = {
        TrainingPosition(epoch, batches).step_seed(seed, rank)
        for epoch in (0, 1)
        for batches in (0, 1)
        for seed in (0, 1)
        for rank in (0, 1)
    }
    assert len(seeds) == 16
    assert TrainingPosition(1, 2).step_seed(3, 4) == TrainingPosition(1, 2, PLAN).step_seed(3, 4)
    assert all(0 <= seed < 2**64 for seed in seeds)
