"""Fully sharded data parallelism (FSDP2): each process keeps a shard of weights, gradients and optimizer states."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP
from ost_lightning.models.encoders import TOWERS
from ost_lightning.tasks.base import RecognitionTask

_PRECISIONS: Final = ("32-true", "bf16-mixed")
_ENCODERS: Final = ("encode_frames", "encode_tokens")
"""Methods of `VideoCLIP` that use its weights."""


class FSDP2Strategy(DDPStrategy):
    """Launches processes like DDP, but shards the encoder with torch's `fully_shard` instead of wrapping the task.

    A tower's layers and embeddings are gathered for their own computation only. The rest of the encoder stays gathered
    from its first use in a step to the end of the backward pass. Scalars, which can't be sharded (the encoder's
    temperature, a learned epsilon), are replicated in every process, and their gradients are averaged.

    During validation every process has the full weights, because processes have different numbers of batches and can't
    gather layer by layer. Without training nothing is sharded, and the strategy equals DDP.

    Checkpoints are those of DDP, and either strategy resumes from the other's. The first process collects full weights
    and optimizer states. (Lightning's `ModelParallelStrategy` would assign states to weights in the order of
    `parameters()`, which is wrong with several parameter groups.)
    """

    def setup(self, trainer: Trainer) -> None:
        """Shards the task when training.

        Raises:
            UserError: If a setting of the run doesn't support sharding, or the task has already been sharded.
        """
        if self._units():
            raise UserError(
                "The task's weights were sharded by an earlier training run: create a new task from its checkpoint."
            )
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Shards the task instead of wrapping it."""
        task = self.lightning_module
        if not isinstance(task, RecognitionTask):
            raise UserError(f"trainer.strategy fsdp shards recognition tasks, not {type(task).__name__}: use ddp.")
        _validate_sharding(task)
        for parameter in task.parameters():
            distributed.broadcast(parameter.detach(), src=0)  # as in DDP: each process initialized new modules itself
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for unit in _units_of(task.video_clip):
            fully_shard(unit, mesh=mesh, ignored_params={p for p in unit.parameters() if p.numel() == 1})
        for encoder in _ENCODERS:
            register_fsdp_forward_method(task.video_clip, encoder)
        if distributed.get_backend() == "gloo":  # it doesn't support averaging
            for sharded in self._units():
                sharded.set_force_sum_reduction_for_comms(True)

    def post_backward(self, closure_loss: Tensor) -> None:
        """Averages the gradients of parameters that are not sharded.

        This is correct with accumulated gradients too, because averaging an average again doesn't change it.
        """
        for parameter in self._parameters():
            if parameter.grad is not None and not isinstance(parameter, DTensor):
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world_size

    def on_validation_start(self) -> None:
        """Gathers the full weights."""
        for unit in self._units():
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()

    def on_validation_end(self) -> None:
        """Reshards the weights."""
        for unit in self._units():
            unit.reshard()
            unit.set_reshard_after_forward(not isinstance(unit, VideoCLIP), recurse=False)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Returns the full weights in host memory of the first process; empty in the others."""
        return self._collected(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Returns the full states in host memory of the first process; empty in the others."""
        unwrapped = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        saved = unwrapped.state_dict()
        states = {number: self._collected(state) for number, state in saved["state"].items()}
        return {"state": states, "param_groups": saved["param_groups"]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Loads this process's shard of full states."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            numbers = [number for group in saved["param_groups"] for number in group["params"]]
            states = {
                number: {name: _shard(value, parameter) for name, value in saved["state"][number].items()}
                # torch raises an error if their lengths differ
                for number, parameter in zip(numbers, parameters, strict=False)
                if number in saved["state"]
            }
            optimizer.load_state_dict({"state": states, "param_groups": saved["param_groups"]})

    def teardown(self) -> None:
        """Keeps shards on the mesh's devices, instead of moving them to the host."""
        if not self._units():
            super().teardown()
            return
        for part in (self.cluster_environment, self.precision_plugin, self.accelerator, self.checkpoint_io):
            if part is not None:
                part.teardown()

    def _units(self) -> list[FSDPModule]:
        task = self.lightning_module
        return [module for module in task.modules() if isinstance(module, FSDPModule)] if task is not None else []

    def _parameters(self) -> Iterator[nn.Parameter]:
        return self.lightning_module.parameters() if self.lightning_module is not None else iter(())

    def _collected(self, state: Mapping[str, Any]) -> dict[str, Any]:
        collected = {}
        for name, value in state.items():
            full = value.full_tensor() if isinstance(value, DTensor) else value  # every process has to call this
            if self.is_global_zero:
                collected[name] = full.cpu() if isinstance(full, Tensor) else full
        return collected


def _units_of(video_clip: VideoCLIP) -> Iterator[nn.Module]:
    """Yields the modules that are sharded and gathered as units, innermost first."""
    for name in TOWERS:
        tower = video_clip.encoder.tower(name)
        yield from tower.layers
        yield from (part for part in tower.embeddings if isinstance(part, nn.Module) and list(part.parameters()))
    yield video_clip


def _shard(value: Any, parameter: Tensor) -> Any:
    """Returns this process's shard of an entry of a parameter's optimizer state."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    # every process has read the full tensor, so nothing needs to be sent
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )


def _validate_sharding(task: RecognitionTask) -> None:
    if task.trainer.precision not in _PRECISIONS:
        raise UserError(
            f"trainer.precision is {task.trainer.precision}, but trainer.strategy fsdp supports only "
            f"{' and '.join(_PRECISIONS)}: set one of these, or use ddp."
        )
    for callback in task.trainer.callbacks:  # type: ignore[attr-defined] # set at run time
        if isinstance(callback, StochasticWeightAveraging | WeightAveraging):
            raise UserError(
                f"{type(callback).__name__} copies the whole model, which trainer.strategy fsdp shards: use ddp."
            )
    if len(task.regularizers):
        names = " and ".join(type(term).__name__ for term in task.regularizers)
        raise UserError(f"trainer.strategy fsdp shards the weights that {names} needs as a whole: use ddp.")
    clip = task.video_clip
    if clip.prompted_towers or clip.runs_layers_for:
        raise UserError(
            "trainer.strategy fsdp runs towers as a whole, but their layers are run one by one for "
            f"{clip.runs_layers_for or 'learned prompts'}: use ddp."
        )
    encoder = set(task.video_clip.parameters())
    for name, parameter in task.named_parameters():
        if parameter not in encoder and parameter.numel() > 1:
            raise UserError(
                f"trainer.strategy fsdp supports weights of the encoder and scalars, but {name}, of shape "
                f"{tuple(parameter.shape)}, is neither: use ddp."
            )
