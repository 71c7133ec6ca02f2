import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from ost_lightning.datamodules import HMDB51, UCF101, ClipSettings, CombinedDataModule, LoadingSettings, ToyWorld
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
def test_what_a_run_asks_for_is_prepared(function: TrainerFn | None, times: tuple[int, int, int]) -> None:
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


def test_settings_of_a_part_that_would_be_ignored_are_refused() -> None:
    CombinedDataModule(test=[ToyWorld(), UCF101("data")], train=HMDB51("data"))
    for part in (ToyWorld(loading=LoadingSettings(workers=1)), UCF101("data", loading=LoadingSettings(workers=1))):
        for place in ({"train": part}, {"val": [part]}, {"test": [part]}):
            with pytest.raises(UserError, match=f"`loading` is set for {type(part).__name__} inside Combined"):
                CombinedDataModule(**place)
    with pytest.raises(UserError, match="`clips` is set for Prepared inside Combined"):
        CombinedDataModule(val=[Prepared(clips=ClipSettings())])
