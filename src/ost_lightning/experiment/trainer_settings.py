"""Trainer settings that can't work here: rejected before anything heavy is loaded, each with what to set instead."""

import traceback
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, Strategy

from ost_lightning.errors import UserError
from ost_lightning.tasks import FSDP2Strategy


def validate_trainer_settings(settings: Mapping[str, Any], *, training: bool) -> None:
    """Rejects settings that cannot work here and that Lightning accepts, or rejects without explanation.

    Args:
        settings: Of the trainer.
        training: Whether weights are trained.

    Raises:
        UserError: If there is such a setting.
    """
    if training and settings["precision"] in ("bf16-true", "16-true"):
        raise UserError(
            f"trainer.precision is {settings['precision']}: fine-tuning takes steps that weights of 16 bits round "
            "away. Set it to bf16-mixed; to test and predict, any precision will do."
        )
    if settings["barebones"]:
        raise UserError(
            "trainer.barebones is true, which disables the loggers, and with them the run's folder and results: leave "
            "it out. For training alone, set trainer.enable_checkpointing to false and trainer.limit_val_batches to 0."
        )
    if settings["accelerator"] == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(
            "trainer.accelerator is gpu, but PyTorch finds no GPU here: set it to cpu, or to auto for what there is; "
            "or install a PyTorch that fits the GPU's driver."
        )
    epochs = settings["check_val_every_n_epoch"]
    if epochs is not None and epochs < 1:
        raise UserError(
            f"trainer.check_val_every_n_epoch is {epochs}: it must be at least 1, or null to count batches alone. To "
            "switch validation off, set trainer.limit_val_batches to 0."
        )


def strategy_for(given: str | Strategy) -> str | Strategy:
    """The strategy that a setting stands for: `fsdp` is the suite's own.

    Raises:
        UserError: If it is another FSDP.
    """
    if given == "fsdp":
        return FSDP2Strategy()
    if isinstance(given, FSDPStrategy | ModelParallelStrategy) or str(given).startswith("fsdp"):
        name = given if isinstance(given, str) else type(given).__name__
        raise UserError(
            f"trainer.strategy is {name}, which does not know how to shard a recognition task: set it to fsdp."
        )
    return given


def lightning_complaint(error: Exception) -> UserError | None:
    """Lightning's own complaint about trainer settings as a user error; None if other code raised the exception."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if not frame.f_globals["__name__"].startswith("lightning."):
        return None
    message = " ".join(str(error).split()).rstrip(".")
    return UserError(
        f"The trainer can't run with its settings: {message}. Change the setting that this is about (`ost fit --help "
        "all` explains them; OST_TRACEBACK=1 shows where it came up)."
    )
