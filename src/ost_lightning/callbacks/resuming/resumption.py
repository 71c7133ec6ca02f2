"""Resuming a run from a checkpoint."""

from collections.abc import Sequence
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim.lr_scheduler import LambdaLR

from ost_lightning.callbacks.resuming.lightning_loops import ResumePoint, correct_epoch_progress, go_on_from
from ost_lightning.errors import UserError

_SETTINGS: Final = ("weight_decay", "betas", "eps")

_Shape = tuple[int, ...] | None
"""Shape of a weight; None if it is not known."""


class ExactResume(Callback):
    """Resumes training at the right place from any checkpoint, with this run's optimizer settings.

    At the end of an epoch, checkpoints are written when the trainer has counted the epoch only in part; and with
    `max_steps` it takes every checkpoint for one within an epoch. So the progress in a checkpoint is corrected: an
    epoch whose batches are all done counts as done, and one in which training ended does not.

    The state of the optimizer in a checkpoint includes its settings; they are replaced by those of this run.
    """

    def __init__(self) -> None:
        self._resume_point: ResumePoint | None = None
        self._saved: list[list[_Shape]] = []
        self._own: list[list[dict[str, Any]]] = []

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Corrects the progress in the checkpoint before the trainer restores it."""
        if trainer.state.fn == TrainerFn.FITTING and "loops" in checkpoint:
            self._saved = _saved_shapes(checkpoint.get("optimizer_states", ()))
            self._resume_point = correct_epoch_progress(checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remembers this run's optimizer settings before the trainer restores those of the checkpoint.

        Raises:
            UserError: If the checkpoint's optimizer has other groups of weights.
        """
        if self._resume_point is not None:
            groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
            _validate_groups(self._saved, [[tuple(weight.shape) for weight in group["params"]] for group in groups])
        self._own = [
            [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores this run's optimizer settings, and corrects the state of the training loop."""
        if self._resume_point is not None:
            self._restore_settings(trainer)
            go_on_from(self._resume_point, trainer)
        self._resume_point = None

    def _restore_settings(self, trainer: Trainer) -> None:
        for optimizer, settings in zip(trainer.optimizers, self._own, strict=True):
            for group, own in zip(optimizer.param_groups, settings, strict=True):
                group.update((name, own[name]) for name in _SETTINGS if name in own)
            for schedule in (config.scheduler for config in trainer.lr_scheduler_configs):
                # schedules of callbacks, such as weight averaging, set rates of their own
                if isinstance(schedule, LambdaLR) and schedule.optimizer is optimizer:
                    _set_peaks(schedule, [own["initial_lr"] for own in settings])


def _set_peaks(schedule: LambdaLR, peaks: list[float]) -> None:
    """Sets each group's peak learning rate, and its current rate accordingly."""
    factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
    rates = [peak * factor for peak, factor in zip(peaks, factors, strict=True)]
    for group, peak, rate in zip(schedule.optimizer.param_groups, peaks, rates, strict=True):
        group.update(initial_lr=peak, lr=rate)
    schedule.load_state_dict(schedule.state_dict() | {"base_lrs": peaks, "_last_lr": rates})


def _saved_shapes(optimizers: Sequence[dict[str, Any]]) -> list[list[_Shape]]:
    """Shapes of the weights of each group of a checkpoint's optimizers, where the optimizer's state tells them."""
    return [
        [
            tuple(saved["state"][number]["exp_avg"].shape) if "exp_avg" in saved["state"].get(number, {}) else None
            for number in group["params"]
        ]
        for saved in optimizers
        for group in saved["param_groups"]
    ]


def _validate_groups(saved: Sequence[Sequence[_Shape]], own: Sequence[Sequence[_Shape]]) -> None:
    sizes = [[len(group) for group in groups] for groups in (saved, own)]
    alike = sizes[0] == sizes[1] and all(
        shape in (None, expected)
        for group, expected_group in zip(saved, own, strict=True)
        for shape, expected in zip(group, expected_group, strict=True)
    )
    if alike:
        return
    raise UserError(
        f"The checkpoint's optimizer has other groups of weights ({_sum(sizes[0])} weights) than this run's "
        f"({_sum(sizes[1])}), so its state can't be loaded. They follow from which weights are trained, and from "
        "model.optimizer.layer_decay, weight_decay_on_all, weight_decay and new_module_lr_multiplier. Set these as in "
        "the training that wrote the checkpoint; or begin a training with its weights: --model.video_clip.init_from "
        "FILE instead of --ckpt_path."
    )


def _sum(sizes: Sequence[int]) -> str:
    return " + ".join(str(size) for size in sizes) or "no"
