from typing import Any

import pytest

from ost_lightning.callbacks.resuming.lightning_loops import ResumePoint, correct_epoch_progress


def checkpoint(*, epochs_ready: int, epochs_processed: int, batches_ready: int, is_last_batch: bool) -> dict[str, Any]:
    """Returns the relevant part of the progress that the trainer writes to a checkpoint."""
    epochs = {"ready": epochs_ready, "started": epochs_ready, "processed": epochs_processed, "completed": 0}
    batches = dict.fromkeys(("ready", "started", "processed", "completed"), batches_ready)
    progress = {
        "epoch_progress": {"total": dict(epochs), "current": dict(epochs)},
        "epoch_loop.batch_progress": {"total": dict(batches), "current": batches, "is_last_batch": is_last_batch},
    }
    return {"loops": {"fit_loop": progress}}


@pytest.mark.parametrize(
    ("epochs_processed", "is_last_batch", "point", "epochs_done", "batches_ready"),
    [
        (1, False, ResumePoint(), 0, 5),  # in the middle of the second epoch
        (2, True, ResumePoint(between_epochs=True), 2, 0),
        (2, False, ResumePoint(ended_within_epoch=True), 1, 5),
    ],
)
def test_an_epoch_counts_as_done_when_all_of_its_batches_are(
    epochs_processed: int, is_last_batch: bool, point: ResumePoint, epochs_done: int, batches_ready: int
) -> None:
    contents = checkpoint(
        epochs_ready=2, epochs_processed=epochs_processed, batches_ready=5, is_last_batch=is_last_batch
    )
    assert correct_epoch_progress(contents) == point
    progress = contents["loops"]["fit_loop"]
    for counts in progress["epoch_progress"].values():
        assert counts["completed"] == epochs_done
    batches = progress["epoch_loop.batch_progress"]
    assert batches["current"]["ready"] == batches_ready
    assert batches["total"]["ready"] == 5
    assert not batches["is_last_batch"]


def test_a_training_that_has_not_started_needs_no_correction() -> None:
    contents = checkpoint(epochs_ready=0, epochs_processed=0, batches_ready=0, is_last_batch=False)
    assert correct_epoch_progress(contents) == ResumePoint()
