"""Mean of the original weights and those after each epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.callbacks.resuming.checkpoint_files import AtomicCheckpointIO
from ost_lightning.errors import UserError
from ost_lightning.evaluation import evaluation_sets
from ost_lightning.models import add_to_average
from ost_lightning.models.checkpoints.initial_weights import VIDEO_CLIP
from ost_lightning.models.safe_checkpoints import load_as_data
from ost_lightning.tasks.regularizers import REGULARIZER_STATES, without_regularizers

TRAJECTORY_AVERAGE: Final = "trajectory_average"
"""Name of the averaged weights in metrics and results."""

_PREFIX: Final = f"{VIDEO_CLIP}."
_FILE: Final = "trajectory_average.ckpt"
_ONLY_FOR_TRAINING: Final = {"callbacks", "optimizer_states", "lr_schedulers", "loops", REGULARIZER_STATES}


class TrajectoryAverage(ScorerCallback):
    """Averages the original weights and those after each epoch, with equal shares (TACO; Zhu et al., 2026).

    The original weights are those of `video_clip.tuned_from`; weights that they lack, such as a temporal head's, are
    averaged over the epochs alone. Training is not affected. Each checkpoint of the run contains the average so far, so
    that a resumed run continues it; it takes the memory of one more set of weights, on the host.

    A test of such a checkpoint also scores the average, as `test/{set}/trajectory_average/...`. At the end of training
    the average is also written to `trajectory_average.ckpt` beside `last.ckpt`, as a checkpoint of its own that
    everything reads: `Recognizer`, `ost export`, `video_clip.init_from`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._average: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """Returns the average so far."""
        return {"average": self._average, "counts": self._counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues the average of a checkpoint."""
        self._average, self._counts = dict(state_dict["average"]), dict(state_dict["counts"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins with the original weights, unless a checkpoint contains an average."""
        task = recognition_task(self, pl_module)
        if trainer.ckpt_path is None:
            self._average, self._counts = {}, {}
        elif not self._average:
            raise UserError(
                f"The checkpoint {trainer.ckpt_path} contains no average, because it was trained without "
                "TrajectoryAverage: remove the callback, or start a new training from its weights with "
                "--model.video_clip.init_from FILE instead of --ckpt_path."
            )
        if trainer.is_global_zero and not self._average:
            self._add(task.video_clip.pretrained_parameters())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds the weights after the epoch, before its checkpoint is written."""
        names = {name for name, _ in recognition_task(self, pl_module).video_clip.named_parameters()}
        weights = trainer.strategy.lightning_module_state_dict()  # of all shards, which all processes have to collect
        if trainer.is_global_zero:
            own = {name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)}
            self._add({name: value for name, value in own.items() if name in names})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the average beside the last checkpoint."""
        last = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        if trainer.is_global_zero and last.is_file():
            content = load_as_data(last)
            kept = {key: value for key, value in content.items() if key not in _ONLY_FOR_TRAINING}
            averaged = {f"{_PREFIX}{name}": weight for name, weight in self._average.items()}
            state = {**without_regularizers(content["state_dict"]), **averaged}
            AtomicCheckpointIO().save_checkpoint({**kept, "state_dict": state}, last.with_name(_FILE))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds a scorer with the average in the tested checkpoint."""
        task = recognition_task(self, pl_module)
        average = average_in(Path(trainer.ckpt_path)) if trainer.ckpt_path is not None else None
        if average is None:
            rank_zero_info(
                "TrajectoryAverage has nothing to score, because the tested weights come from no checkpoint with an "
                "average: only the weights as trained are scored."
            )
            return
        try:
            task.weight_sets.add_average(TRAJECTORY_AVERAGE, average)
        except ValueError as error:
            raise UserError(f"The average in {trainer.ckpt_path} can't be scored: {error}.") from error
        sets = evaluation_sets(trainer.test_dataloaders)
        self.add_scorers(task, {TRAJECTORY_AVERAGE: task.scorer(sets, TRAJECTORY_AVERAGE)})

    def _add(self, weights: Mapping[str, Tensor]) -> None:
        add_to_average(self._average, weights, self._counts)
        self._counts |= {name: self._counts.get(name, 0) + 1 for name in weights}


def average_in(checkpoint: Path) -> Mapping[str, Tensor] | None:
    """Returns the average in a checkpoint, by the names of `VideoCLIP.named_parameters`; None if it has none.

    Args:
        checkpoint: File that training wrote.

    Raises:
        CheckpointError: If the file is damaged.
    """
    states = AtomicCheckpointIO().load_checkpoint(checkpoint).get("callbacks") or {}
    state = states.get(TrajectoryAverage.__name__)
    return state["average"] if state else None
