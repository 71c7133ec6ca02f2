"""Processes that torchrun or SLURM has started are counted as Lightning counts them."""

import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.tools.library.processes import _started_elsewhere, processes_of

CPU = torch.device("cpu")


def test_a_single_process_needs_no_group() -> None:
    with processes_of(None, None, CPU) as process:
        assert (process.rank, process.world_size, process.device) == (0, 1, CPU)
    assert not torch.distributed.is_initialized()


def test_processes_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "a"), ("WORLD_SIZE", "6"), ("LOCAL_WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    assert _started_elsewhere() == (3, 2)
    with (
        pytest.raises(UserError, match=r"3 processes per machine on 2 machines, but --devices 4"),
        processes_of(4, None, CPU),
    ):
        pass


def test_processes_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SLURM_NTASKS", "8"), ("SLURM_NNODES", "2"), ("SLURM_JOB_NAME", "index")):
        monkeypatch.setenv(name, value)
    assert _started_elsewhere() == (4, 2)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert _started_elsewhere() is None
