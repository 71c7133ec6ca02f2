"""The processes of a command that share out its work: started by Lightning, torchrun or SLURM."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch

from ost_lightning.errors import UserError

_PATIENCE: Final = timedelta(days=30)
"""Time that a process waits for the others at the end, each of which may be at a long video."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of the processes that share out the work.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
        device: Device for computation.
        wait: Function that returns when all processes have called it.
    """

    rank: int
    world_size: int
    device: torch.device
    wait: Callable[[], None]


@contextmanager
def processes_of(devices: int | None, num_nodes: int | None, device: torch.device) -> Iterator[Process]:
    """Starts the other processes, unless torchrun or SLURM did, and waits for them at the end of the `with` block.

    Args:
        devices: Number of processes per machine; None for that of torchrun or SLURM, otherwise 1.
        num_nodes: Number of machines; None for that of torchrun or SLURM, otherwise 1.
        device: Device for computation of a single process; several use the devices of this type, one each.

    Raises:
        UserError: If there are not as many devices.
    """
    found = _started_elsewhere()
    if found is not None and (devices or found[0], num_nodes or found[1]) != found:
        raise UserError(
            f"There are {found[0]} processes per machine on {found[1]} machines, but --devices {devices or found[0]} "
            f"--num_nodes {num_nodes or found[1]} was asked for: leave these options out."
        )
    per_node, nodes = found or (devices or 1, num_nodes or 1)
    if per_node * nodes == 1:
        yield Process(0, 1, device, lambda: None)
        return
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    if device.type == "cuda" and per_node > torch.cuda.device_count():
        raise UserError(f"--devices is {per_node}: this machine has {torch.cuda.device_count()} GPUs.")
    fabric = Fabric(accelerator=device.type, devices=per_node, num_nodes=nodes, strategy=DDPStrategy(timeout=_PATIENCE))
    fabric.launch()
    try:
        yield Process(fabric.global_rank, fabric.world_size, fabric.device, fabric.barrier)
        fabric.barrier()
    finally:
        torch.distributed.destroy_process_group()


def _started_elsewhere() -> tuple[int, int] | None:
    """Processes per machine and machines, if torchrun or SLURM started several."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return None
