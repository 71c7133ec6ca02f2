"""Resuming a run from a checkpoint."""

from collections.abc import Sequence
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim.lr_scheduler import LambdaLR

from ost_lightning.callbacks.resuming.lightning_loops import ResumePoint, correct_epoch_progress, restore_loop
from ost_lightning.errors import UserError

_SETTINGS: Final = ("weight_decay", "betas", "eps")

_Shape = tuple[int, ...] | None
"""Shape of a weight; None if unknown."""


class ExactResume(Callback):
    """Resumes training at the exact position of any checkpoint, with this run's optimizer settings.

    Checkpoints at the end of an epoch are written while the trainer has counted the epoch only partly. With `max_steps`
    the trainer treats every checkpoint as one within an epoch. This callback corrects the progress in the checkpoint:
    an epoch counts as done if all its batches are done, and as not done if training ended within it.

    The optimizer state in a checkpoint includes the optimizer's settings; this run's settings replace them.
    """

    def __init__(self) -> None:
        self._resume_point: ResumePoint | None = None
        self._saved: list[list[_Shape]] = []
        self._settings: list[list[dict[str, Any]]] = []

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Corrects the progress in the checkpoint before the trainer restores it."""
        if trainer.state.fn == TrainerFn.FITTING and "loops" in checkpoint:
            self._saved = _saved_shapes(checkpoint.get("optimizer_states", ()))
            self._resume_point = correct_epoch_progress(checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves this run's optimizer settings before the trainer overwrites them with the checkpoint's.

        Raises:
            UserError: If the checkpoint's optimizer has different parameter groups.
        """
        if self._resume_point is not None:
            groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
            _validate_groups(self._saved, [[tuple(weight.shape) for weight in group["params"]] for group in groups])
        self._settings = [
            [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores this run's optimizer settings, and corrects the state of the training loop."""
        if self._resume_point is not None:
            self._restore_settings(trainer)
            restore_loop(self._resume_point, trainer)
        self._resume_point = None

    def _restore_settings(self, trainer: Trainer) -> None:
        for optimizer, settings in zip(trainer.optimizers, self._settings, strict=True):
            for group, values in zip(optimizer.param_groups, settings, strict=True):
                group.update((name, values[name]) for name in _SETTINGS if name in values)
            for schedule in (config.scheduler for config in trainer.lr_scheduler_configs):
                # schedules of callbacks, such as weight averaging, set their own learning rates
                if isinstance(schedule, LambdaLR) and schedule.optimizer is optimizer:
                    _set_peaks(schedule, [values["initial_lr"] for values in settings])


def _set_peaks(schedule: LambdaLR, peaks: list[float]) -> None:
    """Sets each group's peak learning rate, and its current rate accordingly."""
    factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
    rates = [peak * factor for peak, factor in zip(peaks, factors, strict=True)]
    for group, peak, rate in zip(schedule.optimizer.param_groups, peaks, rates, strict=True):
        group.update(initial_lr=peak, lr=rate)
    schedule.load_state_dict(schedule.state_dict() | {"base_lrs": peaks, "_last_lr": rates})


def _saved_shapes(optimizers: Sequence[dict[str, Any]]) -> list[list[_Shape]]:
    """Returns the shapes of the weights in each parameter group of a checkpoint, where the optimizer state has them."""
    return [
        [
            tuple(saved["state"][number]["exp_avg"].shape) if "exp_avg" in saved["state"].get(number, {}) else None
            for number in group["params"]
        ]
        for saved in optimizers
        for group in saved["param_groups"]
    ]


def _validate_groups(saved: Sequence[Sequence[_Shape]], current: Sequence[Sequence[_Shape]]) -> None:
    sizes = [[len(group) for group in groups] for groups in (saved, current)]
    equal = sizes[0] == sizes[1] and all(
        shape in (None, expected)
        for group, expected_group in zip(saved, current, strict=True)
        for shape, expected in zip(group, expected_group, strict=True)
    )
    if equal:
        return
    raise UserError(
        f"The optimizer state can't be loaded: the checkpoint has other parameter groups ({_sum(sizes[0])} weights) "
        f"than this run ({_sum(sizes[1])}). The groups follow from the trained weights and from "
        "model.optimizer.layer_decay, weight_decay_on_all, weight_decay and new_module_lr_multiplier. Set these as in "
        "the training that wrote the checkpoint; or start a new training from its weights: "
        "--model.video_clip.init_from FILE instead of --ckpt_path."
    )


def _sum(sizes: Sequence[int]) -> str:
    return " + ".join(str(size) for size in sizes) or "no"
