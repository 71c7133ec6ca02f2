"""How a run goes on from a checkpoint."""

from collections.abc import Sequence
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim.lr_scheduler import LambdaLR

from ost_lightning.errors import UserError

_SETTINGS: Final = ("weight_decay", "betas", "eps")

_Shape = tuple[int, ...] | None
"""Of a weight; None if it is not known."""


class ExactResume(Callback):
    """Lets training go on at the right place from any checkpoint, with this run's optimizer settings.

    When an epoch ends, the trainer has counted it in part as checkpoints are written; and with `max_steps` it takes
    every checkpoint for one within an epoch. So a checkpoint of an epoch's end is made to say that all of the epoch is
    done, and one of a training that ended within an epoch that the epoch is not.

    The state of the optimizer in a checkpoint holds its settings too; here they are replaced by those of this run.
    """

    def __init__(self) -> None:
        self._goes_on = self._between_epochs = self._ended_within_epoch = False
        self._saved: list[list[_Shape]] = []
        self._own: list[list[dict[str, Any]]] = []

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Corrects the progress, before the trainer takes it over."""
        if trainer.state.fn != TrainerFn.FITTING or "loops" not in checkpoint:
            return
        self._goes_on = True
        self._saved = _saved_shapes(checkpoint.get("optimizer_states", ()))
        progress = checkpoint["loops"]["fit_loop"]
        epochs, batches = progress["epoch_progress"], progress["epoch_loop.batch_progress"]
        counted = epochs["current"]["ready"] == epochs["current"]["processed"] and batches["current"]["ready"] > 0
        self._between_epochs = counted and batches["is_last_batch"]
        self._ended_within_epoch = counted and not batches["is_last_batch"]
        if counted:
            for counts in (epochs["total"], epochs["current"]):
                done = counts["ready"] - int(self._ended_within_epoch)
                counts.update(processed=done, completed=done)
        if self._between_epochs:
            batches["current"] = dict.fromkeys(batches["current"], 0)
            batches["is_last_batch"] = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps this run's settings, which loading the optimizer's state replaces.

        Raises:
            UserError: If the checkpoint's optimizer has other groups of weights.
        """
        if self._goes_on:
            groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
            _check_groups(self._saved, [[tuple(weight.shape) for weight in group["params"]] for group in groups])
        self._own = [
            [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores this run's settings, and corrects what the trainer takes the place for."""
        if not self._goes_on:
            return
        self._restore_settings(trainer)
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        if self._between_epochs:
            loop.restarting = False
        elif self._ended_within_epoch and fetcher is not None and loop._should_check_val_fx(fetcher):
            loop._batches_that_stepped -= 1  # the trainer passes over this validation, and counts the step again
        self._goes_on = self._between_epochs = self._ended_within_epoch = False

    def _restore_settings(self, trainer: Trainer) -> None:
        for optimizer, settings in zip(trainer.optimizers, self._own, strict=True):
            for group, own in zip(optimizer.param_groups, settings, strict=True):
                group.update((name, own[name]) for name in _SETTINGS if name in own)
            for schedule in (config.scheduler for config in trainer.lr_scheduler_configs):
                # a callback's schedule has rates of its own
                if isinstance(schedule, LambdaLR) and schedule.optimizer is optimizer:
                    _set_peaks(schedule, [own["initial_lr"] for own in settings])


def _set_peaks(schedule: LambdaLR, peaks: list[float]) -> None:
    """Gives each group another peak, and the learning rate that follows from it now."""
    factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
    rates = [peak * factor for peak, factor in zip(peaks, factors, strict=True)]
    for group, peak, rate in zip(schedule.optimizer.param_groups, peaks, rates, strict=True):
        group.update(initial_lr=peak, lr=rate)
    schedule.base_lrs, schedule._last_lr = [*peaks], [*rates]


def _saved_shapes(optimizers: Sequence[dict[str, Any]]) -> list[list[_Shape]]:
    """Of the weights of each group of a checkpoint's optimizers, as far as they have been updated."""
    return [
        [
            tuple(saved["state"][number]["exp_avg"].shape) if "exp_avg" in saved["state"].get(number, {}) else None
            for number in group["params"]
        ]
        for saved in optimizers
        for group in saved["param_groups"]
    ]


def _check_groups(saved: Sequence[Sequence[_Shape]], own: Sequence[Sequence[_Shape]]) -> None:
    sizes = [[len(group) for group in groups] for groups in (saved, own)]
    alike = sizes[0] == sizes[1] and all(
        shape in (None, expected)
        for group, expected_group in zip(saved, own, strict=True)
        for shape, expected in zip(group, expected_group, strict=True)
    )
    if alike:
        return
    raise UserError(
        f"The checkpoint's optimizer has other groups of weights ({_told(sizes[0])} weights) than this run's "
        f"({_told(sizes[1])}), so its state can't be taken over. They follow from which weights are trained, and from "
        "model.optimizer.layer_decay, weight_decay_on_all, weight_decay and new_module_lr_multiplier. Set these as in "
        "the training that wrote the checkpoint; or begin a training with its weights: --model.video_clip.init_from "
        "FILE instead of --ckpt_path."
    )


def _told(sizes: Sequence[int]) -> str:
    return " + ".join(str(size) for size in sizes) or "no"
