"""Progress bar: one line of the terminal, with the most important figures."""

from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import Progress

from ost_lightning.callbacks.monitoring import progress
from ost_lightning.callbacks.monitoring.progress import VideoProgressBar
from ost_lightning.callbacks.monitoring.throughput import Throughput

LOGGED = {"train/loss": 2.0801, "val/seen/top1": 0.775, "val/unseen/top1": 0.5, "val/unseen/top5": 0.9, "v_num": 3}


def line(
    width: int, logged: dict[str, float], total: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, Any]]:
    """Returns the line that a training shows on a terminal, and the figures in it."""
    console = Console(width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "get_console", lambda: console)
    monkeypatch.setattr(RichProgressBar, "get_metrics", lambda *_: dict(logged))
    meter = Throughput()
    meter.videos_per_second, meter.data_wait, meter._seconds_per_batch = 122.14, 0.07, 1.5
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=9000, max_epochs=-1)
    trainer.state.fn = TrainerFn.FITTING
    trainer.training = True
    bar = VideoProgressBar(meter)
    columns = bar.configure_columns(trainer)
    bar.progress = Progress(*columns, console=console)
    task = bar.progress.add_task("Epoch 12/29", total=total, completed=total)
    bar.progress.add_task("Validation", total=7)
    figures = bar.get_metrics(trainer, None)
    cells = bar.progress.make_tasks_table(bar.progress.tasks)
    with console.capture() as capture:
        console.print(cells)
    assert task is not None
    first = capture.get().splitlines()[0].rstrip()
    return f"{first} {' '.join(f'{name}: {value}' for name, value in figures.items())}", figures


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("total", [5, 1234])
@pytest.mark.parametrize("validated", [0, 1, 2])
def test_a_training_takes_one_line(width: int, total: int, validated: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = dict(list(LOGGED.items())[: 1 + validated])
    shown, figures = line(width, logged, total, monkeypatch)
    assert len(shown) <= width
    assert {"loss", "left"} <= set(figures)
    if width == 200:
        assert set(figures) == {"loss", "videos/s", "waiting", "left", *["seen", "unseen"][:validated]}


def test_figures_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    _, figures = line(200, LOGGED, 5, monkeypatch)
    assert {name: figures[name] for name in ("loss", "seen", "unseen", "videos/s", "waiting")} == {
        "loss": "2.080",
        "seen": "77.5%",
        "unseen": "50.0%",
        "videos/s": "122.1",
        "waiting": "7%",
    }


def test_an_evaluation_keeps_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    bar = VideoProgressBar(Throughput())
    trainer.state.fn = TrainerFn.TESTING
    assert [type(column) for column in bar.configure_columns(trainer)] == [
        type(column) for column in RichProgressBar().configure_columns(trainer)
    ]
