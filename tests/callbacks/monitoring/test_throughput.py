import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from ost_lightning.callbacks import BottleneckWarning, Throughput, VideoProgressBar
from ost_lightning.callbacks.monitoring.slow_precision import bf16_slowness


class Clock:
    """Clock that advances only by `sleep`."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ost_lightning.callbacks.monitoring.throughput.perf_counter", CLOCK.read)


class Slow(IterableDataset[Tensor]):
    """Data set whose items each take some time to load."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.count):
            CLOCK.sleep(self.seconds)
            yield torch.ones(1)


class Model(LightningModule):
    """Model whose training step takes some time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer, self.seconds = nn.Linear(1, 1), seconds

    def training_step(self, batch: Tensor) -> Tensor:
        CLOCK.sleep(self.seconds)
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder: Path, meter: Throughput, *, loading: float, step: float, **options: object) -> Trainer:
    settings = {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(default_root_dir=folder, callbacks=[meter], logger=False, **(settings | options))
    trainer.fit(Model(step), DataLoader(Slow(24, loading), batch_size=2))
    return trainer


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_slow_loader_is_reported_once(tmp_path: Path) -> None:
    meter = Throughput(every=4)
    with pytest.warns(BottleneckWarning, match="Loading limits the speed") as caught:
        train(tmp_path, meter, loading=0.01, step=0.005)
    assert len([warning for warning in caught if warning.category is BottleneckWarning]) == 1
    # a batch of two numbers takes 0.02 s to load and 0.005 s to process
    assert meter.data_wait == pytest.approx(0.8)
    assert meter.videos_per_second == pytest.approx(2 / 0.025)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_slow_model_causes_no_warning(tmp_path: Path) -> None:
    meter = Throughput(every=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BottleneckWarning)
        trainer = train(tmp_path, meter, loading=0.0, step=0.03)
    assert meter.data_wait == pytest.approx(0)
    left = meter.seconds_left(trainer)
    assert left is not None
    assert left.total_seconds() == 0


def test_time_left_follows_from_the_steps(tmp_path: Path) -> None:
    meter = Throughput(every=4)
    trainer = train(tmp_path, meter, loading=0.0, step=0.05, max_steps=6, max_epochs=-1)
    trainer.fit_loop.epoch_loop.max_steps = 60_006
    left = meter.seconds_left(trainer)
    assert left is not None
    assert left.total_seconds() == pytest.approx(60_000 * 0.05)


def test_the_progress_bar_shows_the_figures(tmp_path: Path) -> None:
    meter = Throughput(every=4)
    shown: list[dict[str, object]] = []

    class Bar(VideoProgressBar):
        def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, object]:
            shown.append(super().get_metrics(trainer, pl_module))
            return shown[-1]

    trainer = Trainer(
        default_root_dir=tmp_path,
        callbacks=[meter, Bar(meter)],
        logger=False,
        max_epochs=1,
        accelerator="cpu",
        enable_model_summary=False,
    )
    trainer.fit(Model(0.01), DataLoader(Slow(24, 0.0), batch_size=2))
    assert set(shown[-1]) >= {"videos/s", "waiting", "left"}
    assert float(str(shown[-1]["videos/s"])) > 0


@pytest.mark.parametrize(
    ("slowness", "precision", "warned"), [(50, "bf16-mixed", 1), (2, "bf16-mixed", 0), (50, 32, 0)]
)
def test_a_precision_in_which_the_cpu_is_slow_is_reported(
    slowness: float, precision: Any, warned: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert 0 < bf16_slowness() < float("inf")
    monkeypatch.setattr("ost_lightning.callbacks.monitoring.slow_precision.bf16_slowness", lambda: slowness)
    settings = {"max_steps": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        accelerator="cpu", precision=precision, callbacks=Throughput(), default_root_dir=tmp_path, **settings
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(Model(0.1), DataLoader(Slow(1, 0.1), batch_size=None))
    messages = [str(warning.message) for warning in caught if warning.category is BottleneckWarning]
    assert len(messages) == warned
    assert all(
        "multiplies matrices 50 times slower in bf16" in message and "32-true" in message for message in messages
    )
