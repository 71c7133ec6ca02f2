from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from ost_lightning.datamodules import (
    HMDB51,
    UCF101,
    ClipSettings,
    CombinedDataModule,
    LoadingSettings,
    ToyWorld,
    VideoFolder,
)
from ost_lightning.errors import UserError


class Prepared(ToyWorld):
    """Counts instead of rendering."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.times = 0

    def prepare_data(self) -> None:
        self.times += 1


@pytest.mark.parametrize(
    ("function", "times"),
    [
        (None, (1, 1, 1)),
        (TrainerFn.FITTING, (1, 1, 0)),
        (TrainerFn.VALIDATING, (0, 1, 0)),
        (TrainerFn.TESTING, (0, 0, 1)),
        (TrainerFn.PREDICTING, (0, 0, 1)),
    ],
)
def test_only_what_a_run_needs_is_prepared(function: TrainerFn | None, times: tuple[int, int, int]) -> None:
    train, val, test = parts = Prepared(), Prepared(), Prepared()
    several = CombinedDataModule(train=train, val=[val], test=[test])
    if function is not None:
        several.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        several.trainer.state.fn = function
    several.prepare_data()
    assert tuple(part.times for part in parts) == times


def test_a_part_of_several_uses_is_prepared_once() -> None:
    part = Prepared()
    CombinedDataModule(train=part, test=[part]).prepare_data()
    assert part.times == 1


def test_repeated_names_of_sets_get_the_index_of_their_data_module(tmp_path: Path) -> None:
    for root, part in (("a", "test"), ("b", "test"), ("c", "other")):
        (tmp_path / root / part / "swim").mkdir(parents=True)
        (tmp_path / root / part / "swim" / f"{root}.mp4").touch()
    a, b = VideoFolder(tmp_path / "a"), VideoFolder(tmp_path / "b")
    sets = CombinedDataModule(test=[a, b], train=VideoFolder(tmp_path / "c", train="other")).evaluation_videos("test")
    assert {name: videos.records[0].id for name, videos in sets.items()} == {
        "test": "test/swim/a.mp4",
        "1-test": "test/swim/b.mp4",
    }
    several = CombinedDataModule(test=[a], train=VideoFolder(tmp_path / "c", train="other"))
    assert several.training_videos().records[0].id == "other/swim/c.mp4"
    assert several.evaluation_videos("val") == {}
    assert (several.has_part("train"), CombinedDataModule(test=[a]).has_part("train")) == (True, False)


def test_settings_of_a_part_that_would_be_ignored_are_refused() -> None:
    CombinedDataModule(test=[ToyWorld(), UCF101("data")], train=HMDB51("data"))
    for part in (ToyWorld(loading=LoadingSettings(workers=1)), UCF101("data", loading=LoadingSettings(workers=1))):
        for arguments in ({"train": part}, {"val": [part]}, {"test": [part]}):
            with pytest.raises(UserError, match=f"`loading` is set for {type(part).__name__} inside Combined"):
                CombinedDataModule(**arguments)
    with pytest.raises(UserError, match="`clips` is set for Prepared inside Combined"):
        CombinedDataModule(val=[Prepared(clips=ClipSettings())])
