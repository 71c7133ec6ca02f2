"""Whether this processor is slow in the precision of a run."""

from time import thread_time
from typing import Final

import torch
from lightning.pytorch import Trainer

_SLOW: Final = 4.0
"""Ratio of the times for a product of matrices in bf16 and in fp32 above which bf16 counts as slow."""


def slow_precision(trainer: Trainer) -> str | None:
    """What to do about bf16 on a CPU without instructions for it; None if nothing is wrong."""
    if trainer.strategy.root_device.type != "cpu" or not trainer.precision.startswith("bf16"):
        return None
    ratio = bf16_slowness()
    if ratio <= _SLOW:
        return None
    return (
        f"trainer.precision is {trainer.precision}, and this processor takes {ratio:.0f} times as long for a product "
        "of bf16 matrices as for one of fp32 matrices. Without a GPU, set --trainer.precision 32-true."
    )


def bf16_slowness() -> float:
    """Ratio of the times that this processor takes for a product of matrices in bf16 and in fp32."""
    single = torch.ones(256, 256)
    shortest, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other
    for matrix in (single, single.bfloat16()):
        seconds = []
        for _ in range(4):  # the first one also sets up
            began = thread_time()
            matrix.mm(matrix)
            seconds.append(thread_time() - began)
        shortest.append(max(min(seconds), 1e-6))
    torch.set_num_threads(threads)
    return shortest[1] / shortest[0]
