"""Fully sharded data parallelism (FSDP2): each process keeps its share of weights, gradients and optimiser state."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks.base import RecognitionTask

_PRECISIONS: Final = ("32-true", "bf16-mixed")
_ENCODERS: Final = ("encode_frames", "encode_tokens")
"""What of `VideoCLIP` computes with its weights."""


class FSDP2Strategy(DDPStrategy):
    """DDP's processes, with torch's `fully_shard` in place of its wrapper while training.

    A tower's layers and embeddings are gathered when they compute, what remains of the encoder from its first use in a
    step to the end of the backward pass. Scalars, which can't be sharded (CLIP's logit scale, a learned epsilon), are
    kept by every process, and their gradients averaged.

    An evaluation has the whole weights in every process: their numbers of batches differ, so they could not gather
    layer by layer. Without training this is DDP.

    Checkpoints are DDP's: the first process collects the whole weights and optimiser states, and a run may go on with
    either strategy. Lightning's `ModelParallelStrategy` renumbers optimiser states on loading in the order of
    `parameters()`, which is not that of several parameter groups.
    """

    def setup(self, trainer: Trainer) -> None:
        """Shards, if this is a training.

        Raises:
            UserError: If something of the run does not go with sharding.
        """
        _refuse_what_needs_whole_weights(trainer)
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Shards the module, which stays what it is: there is no wrapper."""
        task = self.lightning_module
        if not isinstance(task, RecognitionTask):
            raise UserError(f"trainer.strategy fsdp shards recognition tasks, not {type(task).__name__}: use ddp.")
        for parameter in task.parameters():
            distributed.broadcast(parameter.detach(), src=0)  # as DDP does: new modules were drawn by each process
        self._shard(task)

    def post_backward(self, closure_loss: Tensor) -> None:
        """Averages the gradients of what is not sharded.

        With accumulated gradients too: the average of what was averaged before is what it was.
        """
        if self.lightning_module is None:
            return
        for parameter in self.lightning_module.parameters():
            if parameter.grad is not None and not isinstance(parameter, DTensor):
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world_size

    def on_validation_start(self) -> None:
        """Gathers the whole weights."""
        for unit in self._units():
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()

    def on_validation_end(self) -> None:
        """Frees them."""
        for unit in self._units():
            unit.reshard()
            unit.set_reshard_after_forward(not isinstance(unit, VideoCLIP), recurse=False)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole weights in host memory of the first process; nothing in the others."""
        return self._in_first_process(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The whole states in host memory of the first process; nothing in the others."""
        own = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        saved = own.state_dict()
        states = {number: self._in_first_process(state) for number, state in saved["state"].items()}
        return {"state": states, "param_groups": saved["param_groups"]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes this process's share of whole states."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            numbers = [number for group in saved["param_groups"] for number in group["params"]]
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            states = {
                number: {name: _share(value, parameter) for name, value in saved["state"][number].items()}
                for number, parameter in zip(numbers, parameters, strict=True)
                if number in saved["state"]
            }
            optimizer.load_state_dict({"state": states, "param_groups": saved["param_groups"]})

    def teardown(self) -> None:
        """Leaves everything where it is: shards have their place."""
        if not self._units():
            super().teardown()
            return
        for part in (self.cluster_environment, self.precision_plugin, self.accelerator, self.checkpoint_io):
            if part is not None:
                part.teardown()

    def _shard(self, task: RecognitionTask) -> None:
        clip, mesh = task.video_clip, init_device_mesh(self.root_device.type, (self.world_size,))
        whole = {parameter for parameter in task.parameters() if parameter.ndim == 0}
        for unit in _units_of(clip):
            fully_shard(unit, mesh=mesh, ignored_params=whole)
        for encoder in _ENCODERS:
            register_fsdp_forward_method(clip, encoder)
        for name, parameter in task.named_parameters():
            if not isinstance(parameter, DTensor) and parameter.ndim:
                raise UserError(
                    f"trainer.strategy fsdp does not shard {name}, of shape {tuple(parameter.shape)}: outside of the "
                    "encoder it knows scalars only. Use ddp."
                )
        if distributed.get_backend() == "gloo":  # has no average
            for unit in self._units():
                unit.set_force_sum_reduction_for_comms(True)

    def _units(self) -> list[FSDPModule]:
        return [module for module in self.lightning_module.modules() if isinstance(module, FSDPModule)]

    def _in_first_process(self, state: Mapping[str, Any]) -> dict[str, Any]:
        collected = {}
        for name, value in state.items():
            whole = value.full_tensor() if isinstance(value, DTensor) else value  # asks all processes
            if self.is_global_zero:
                collected[name] = whole.cpu() if isinstance(whole, Tensor) else whole
        return collected


def _units_of(clip: VideoCLIP) -> Iterator[nn.Module]:
    """What is gathered together, from the inside out."""
    for tower in (clip.clip.vision_model, clip.clip.text_model):
        yield from tower.encoder.layers
        yield tower.embeddings
    yield clip


def _share(value: Any, parameter: Tensor) -> Any:
    """What this process keeps of a parameter's state."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    local = value.to(parameter.device)
    # every process has read the whole: nothing has to be sent
    return distribute_tensor(local, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _refuse_what_needs_whole_weights(trainer: Trainer) -> None:
    if trainer.precision not in _PRECISIONS:
        raise UserError(
            f"trainer.precision is {trainer.precision}, but trainer.strategy fsdp was made for "
            f"{' and '.join(_PRECISIONS)}: set one of these, or use ddp."
        )
    for callback in trainer.callbacks:
        if isinstance(callback, StochasticWeightAveraging | WeightAveraging):
            raise UserError(
                f"{type(callback).__name__} copies the whole model, but trainer.strategy fsdp shards it: use ddp."
            )
