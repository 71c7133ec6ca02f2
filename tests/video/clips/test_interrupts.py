"""SIGINT, which a terminal sends to all processes: loading workers leave it to the process above them."""

import signal

import pytest
from torch.utils.data import Dataset

from ost_lightning.datamodules import training_loader
from ost_lightning.datamodules.training_loader import TrainingLoader, TrainingPosition
from ost_lightning.evaluation import EvaluationLoader
from ost_lightning.video import FrameSampler, TrainingSampler


def blocked() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


class Blocked(Dataset[bool]):
    """Tells of the process that reads it whether SIGINT is blocked."""

    sampler = FrameSampler(1)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: object) -> bool:
        return blocked()


@pytest.mark.parametrize("early", [False, True])
def test_workers_of_an_evaluation_are_not_interrupted(early: bool) -> None:
    loader = EvaluationLoader(Blocked(), set=None, num_workers=1, collate_fn=list)
    if early:
        loader.start_workers()
    assert list(loader) == [[True]]
    assert not blocked()


@pytest.mark.parametrize("early", [False, True])
def test_workers_of_a_training_are_not_interrupted(early: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loader, "collate_clips", list)
    loader = TrainingLoader(
        Blocked(),
        TrainingSampler(1, batch_size=1, seed=0),
        1,
        labels=None,
        geometry=None,
        transform=None,
        position=TrainingPosition(),
        workers=1,
        pin_memory=False,
    )
    if early:
        loader.start_workers()
    assert list(loader) == [[True]]
    assert not blocked()
