"""Progress bar with the speed of training."""

from collections.abc import Mapping
from typing import Any, Final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import CustomTimeColumn, ProcessingSpeedColumn
from lightning.pytorch.trainer.states import TrainerFn
from rich import get_console
from rich.progress import BarColumn

from ost_lightning.callbacks.monitoring.throughput import Throughput

_SHORTEST_BAR: Final = 5
_LONGEST_BAR: Final = 40


class VideoProgressBar(RichProgressBar):
    """Lightning's progress bar with videos per second, the share of time spent waiting for the loader, and time left.

    A training takes one line of the terminal: figures that don't fit are left out, the least important first.

    Args:
        throughput: Callback of the same run that measures these figures.
    """

    def __init__(self, throughput: Throughput) -> None:
        super().__init__()
        self._throughput = throughput
        self._bar = BarColumn()

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Returns the columns of the bar; in training the figures replace the times and the speed of an epoch."""
        columns = super().configure_columns(trainer)
        if trainer.state.fn != TrainerFn.FITTING:
            return columns
        self._bar = next(column for column in columns if isinstance(column, BarColumn))
        return [column for column in columns if not isinstance(column, CustomTimeColumn | ProcessingSpeedColumn)]

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns the figures shown beside the bar, as text."""
        logged = super().get_metrics(trainer, pl_module)
        figures = {"loss": f"{logged['train/loss']:.3f}"} if "train/loss" in logged else {}
        for name, value in logged.items():
            if name.startswith("val/") and name.endswith("/top1"):
                figures[name.removeprefix("val/").removesuffix("/top1")] = f"{100 * float(str(value)):.1f}%"
        validated = [name for name in figures if name != "loss"]
        meter = self._throughput
        if trainer.training and meter.videos_per_second is not None and meter.data_wait is not None:
            figures["videos/s"] = f"{meter.videos_per_second:.1f}"
            figures["waiting"] = f"{100 * meter.data_wait:.0f}%"
            if (left := meter.seconds_left(trainer)) is not None:
                figures["left"] = str(left)
        return self._fitted(figures, ("waiting", *reversed(validated), "videos/s", "left", "loss"))

    def _fitted(self, figures: dict[str, str], dispensable: tuple[str, ...]) -> dict[str, str]:
        """Returns the figures that fit on the line, and adapts the length of the bar.

        Args:
            figures: Text by name.
            dispensable: All names, the first to be left out first.
        """
        space = get_console().width - self._other_columns()
        for name in dispensable:
            if _length(figures) + _SHORTEST_BAR <= space:
                break
            figures.pop(name, None)
        self._bar.bar_width = max(_SHORTEST_BAR, min(_LONGEST_BAR, space - _length(figures)))
        return figures

    def _other_columns(self) -> int:
        """Returns the width of the description, of the counts and of the gaps between columns."""
        tasks = self.progress.tasks if self.progress is not None else []
        texts = [(len(task.description), len(f"{task.total or 0:.0f}")) for task in tasks]
        gaps = 4
        return max((words for words, _ in texts), default=0) + 2 * max((n for _, n in texts), default=0) + 1 + gaps


def _length(figures: Mapping[str, str]) -> int:
    return len(" ".join(f"{name}: {value}" for name, value in figures.items()))
