"""Videos that are read while the model is loaded: same batches, and only where nothing else would be read."""

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from ost_lightning.datamodules import ClipSettings
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.video import ClipBatch
from tests.datamodules.test_base import HALF, Own

EXPECTED = Preprocessing(48, HALF, HALF)


@pytest.fixture(autouse=True)
def workers() -> Iterator[Callable[[], int]]:
    """Number of processes that a test has started and that still run."""
    gc.collect()
    before = {process.pid for process in multiprocessing.active_children()}

    def count() -> int:
        gc.collect()
        return len({process.pid for process in multiprocessing.active_children()} - before)

    yield count
    assert count() == 0


def begun(folder: Path, stage: str, **loading: Any) -> Own:
    """A data module whose first videos are being read."""
    data = Own(folder, **{"workers": 1, "evaluation_batch_size": 3, **loading})
    data.read_ahead(stage)
    data.start_reading(stage, EXPECTED, on_gpu=False)
    return data


def prepared(data: Own, stage: str, preprocessing: Preprocessing = EXPECTED, *, whole_steps: bool = False) -> Own:
    data.configure_for(preprocessing, whole_steps=whole_steps)
    data.setup(stage)
    return data


def same(first: ClipBatch, second: ClipBatch) -> bool:
    return first.ids == second.ids and torch.equal(first.frames, second.frames) and first.seeds == second.seeds


def test_an_evaluation_takes_over_what_was_read(folder: Path, workers: Callable[[], int]) -> None:
    torch.manual_seed(3)
    data = begun(folder, "test")
    state = torch.get_rng_state()
    assert torch.equal(state, torch.manual_seed(3).get_state())  # a model's first weights stay the same
    assert workers() == 1
    loaders = prepared(data, "test").test_dataloader()
    others = prepared(Own(folder, evaluation_batch_size=3), "test").test_dataloader()
    assert workers() == 1
    for passes in range(2):
        for loader, other in zip(loaders, others, strict=True):
            batches = list(loader)
            assert [len(batch.ids) for batch in batches] == [3, 1]
            assert all(map(same, batches, other)), passes
    assert data.test_dataloader()[0] is not loaders[0]  # another evaluation reads the files again


@pytest.mark.parametrize("whole_steps", [False, True])
def test_a_training_takes_over_what_was_read(whole_steps: bool, folder: Path, workers: Callable[[], int]) -> None:
    loader = prepared(begun(folder, "fit"), "fit", whole_steps=whole_steps).train_dataloader()
    other = prepared(Own(folder), "fit", whole_steps=whole_steps).train_dataloader()
    assert len(loader) == len(other) == (1 if whole_steps else 2)
    assert workers() == 1
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        other.sampler.set_epoch(epoch)
        for batch, expected in zip(loader, other, strict=True):
            pairs = zip(batch, expected, strict=True) if whole_steps else [(batch, expected)]
            assert all(same(*pair) for pair in pairs), epoch
    assert workers() == 1  # the same one in all epochs
    assert position(loader) == position(other)


def position(loader: Any) -> dict[str, Any]:
    return {**loader.state_dict(), "plan": None}


def test_a_batch_that_was_not_set_is_chosen_as_ever(folder: Path) -> None:
    for settings in ({}, {"max_videos_per_device": None}):
        loading = {"global_batch_size": None, **settings}
        loader = prepared(begun(folder, "fit", **loading), "fit").train_dataloader()
        expected = prepared(Own(folder, **loading), "fit").train_dataloader()
        assert loader.batch_size == expected.batch_size
        assert [batch.ids for batch in loader] == [batch.ids for batch in expected]


def test_a_resumed_training_reads_from_its_position(folder: Path) -> None:
    before = prepared(Own(folder), "fit")
    expected = list(before.train_dataloader())[1]
    data = begun(folder, "fit")
    data.load_state_dict({"epoch": 0, "batches": 1, "plan": None})
    (batch,) = prepared(data, "fit").train_dataloader()
    assert same(batch, expected)


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_other_settings_than_expected_are_followed(stage: str, folder: Path, workers: Callable[[], int]) -> None:
    data = prepared(begun(folder, stage), stage, Preprocessing(40, HALF, HALF))
    assert workers() == 1
    loader = data.train_dataloader() if stage == "fit" else data.test_dataloader()[0]
    assert workers() == 0
    assert next(iter(loader)).frames.shape[-1] == 40


def test_lists_that_are_read_again_end_the_workers(folder: Path, workers: Callable[[], int]) -> None:
    data = begun(folder, "test")
    assert workers() == 1
    data.read_ahead("test")  # files may have changed
    assert workers() == 0


def test_nothing_is_read_early_where_it_may_be_cached_or_there_are_no_workers(
    folder: Path, workers: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OST_CACHE", str(tmp_path))
    for stage, loading, expected in (
        ("test", {"embedding_cache_gigabytes": 1.0}, 0),
        ("validate", {"embedding_cache_gigabytes": 1.0}, 1),  # only tests and predictions are cached
        ("predict", {"workers": 0}, 0),
    ):
        data = begun(folder, stage, **loading)
        assert workers() == expected, stage
        data.stop_reading()
    assert workers() == 0


class Ids(LightningModule):
    """Predicts the names of the videos."""

    def predict_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> tuple[str, ...]:
        return batch.ids


class Indices(BasePredictionWriter):
    """Keeps the samples that Lightning counts for each batch."""

    def __init__(self) -> None:
        super().__init__("batch")
        self.found: list[list[int]] = []

    def write_on_batch_end(self, trainer: Any, module: Any, prediction: Any, batch_indices: Any, *_: Any) -> None:
        self.found.append([key.index for key in batch_indices])


def test_lightning_counts_the_samples_of_predictions(folder: Path, workers: Callable[[], int]) -> None:
    data, writer = begun(folder, "predict"), Indices()
    data.configure_for(EXPECTED)
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(**options, callbacks=[writer], enable_checkpointing=False, use_distributed_sampler=False)
    assert workers() == 1
    first, again = trainer.predict(Ids(), data)
    names = [("0.mp4", "1.mp4", "2.mp4"), ("3.mp4",)]
    assert first == again == names
    assert writer.found == [[0, 1, 2], [3]] * 2


def test_clips_are_settled_by_the_model_not_by_what_was_expected(folder: Path) -> None:
    data = begun(folder, "test")
    assert data.clips == ClipSettings(frames=2)
