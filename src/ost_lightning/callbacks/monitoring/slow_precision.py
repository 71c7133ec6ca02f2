"""Check whether the CPU is slow in the precision of a run."""

from time import thread_time
from typing import Final

import torch
from lightning.pytorch import Trainer

_SLOW: Final = 4.0
"""Ratio of bf16 to fp32 matrix multiplication time above which bf16 counts as slow."""


def slow_precision(trainer: Trainer) -> str | None:
    """Returns a warning if a run uses bf16 on a CPU without bf16 instructions; None otherwise."""
    if trainer.strategy.root_device.type != "cpu" or not trainer.precision.startswith("bf16"):
        return None
    ratio = bf16_slowness()
    if ratio <= _SLOW:
        return None
    return (
        f"trainer.precision is {trainer.precision}, but this CPU multiplies matrices {ratio:.0f} times slower in bf16 "
        "than in fp32. Without a GPU, set --trainer.precision 32-true."
    )


def bf16_slowness() -> float:
    """Measures how much longer a matrix multiplication takes in bf16 than in fp32 on this CPU, as a ratio."""
    single = torch.ones(256, 256)
    shortest, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # several threads would wait for each other
    for matrix in (single, single.bfloat16()):
        seconds = []
        for _ in range(4):  # the first call includes initialization
            began = thread_time()
            matrix.mm(matrix)
            seconds.append(thread_time() - began)
        shortest.append(max(min(seconds), 1e-6))
    torch.set_num_threads(threads)
    return shortest[1] / shortest[0]
