"""Validation of trainer settings: those that can't work are rejected early, with a setting to use instead."""

import traceback
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, Strategy

from ost_lightning.errors import UserError


def validate_trainer_settings(settings: Mapping[str, Any], *, training: bool) -> None:
    """Rejects settings that can't work here and that Lightning accepts or rejects without explanation.

    Args:
        settings: Settings of the trainer.
        training: Whether weights are trained.

    Raises:
        UserError: If a setting can't work.
    """
    if training and settings["precision"] in ("bf16-true", "16-true"):
        raise UserError(
            f"trainer.precision is {settings['precision']}: fine-tuning steps are too small for 16-bit weights and "
            "would be rounded away. Set it to bf16-mixed. (For testing and prediction any precision works.)"
        )
    if settings["barebones"]:
        raise UserError(
            "trainer.barebones is true, which disables the loggers, and with them the run's folder and results. Unset "
            "it. For training only, set trainer.enable_checkpointing to false and trainer.limit_val_batches to 0."
        )
    if settings["accelerator"] == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(
            "trainer.accelerator is gpu, but PyTorch finds no GPU. Set it to cpu, or to auto for whatever is "
            "available; or install a build of PyTorch that matches the GPU's driver."
        )
    epochs = settings["check_val_every_n_epoch"]
    if epochs is not None and epochs < 1:
        raise UserError(
            f"trainer.check_val_every_n_epoch is {epochs}: it must be at least 1, or null to count batches across "
            "epochs. To switch validation off, set trainer.limit_val_batches to 0."
        )


def fast_precision(accelerator: object) -> str:
    """Returns the precision that `auto` means: bf16-mixed on a GPU with bf16 instructions, 32-true elsewhere.

    Args:
        accelerator: The trainer's setting.
    """
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def strategy_for(setting: str | Strategy) -> str | Strategy:
    """Returns the strategy for a setting: `fsdp` means FSDP2Strategy, other settings are unchanged.

    Raises:
        UserError: If the setting is one of Lightning's FSDP strategies.
    """
    if setting == "fsdp":
        from ost_lightning.tasks import FSDP2Strategy  # takes half a second

        return FSDP2Strategy()
    if isinstance(setting, FSDPStrategy | ModelParallelStrategy) or str(setting).startswith("fsdp"):
        name = setting if isinstance(setting, str) else type(setting).__name__
        raise UserError(f"trainer.strategy is {name}, which can't shard a recognition task. Set it to fsdp.")
    return setting


def lightning_complaint(error: Exception) -> UserError | None:
    """Returns Lightning's error about trainer settings as a user error; None if other code raised the exception."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if not frame.f_globals["__name__"].startswith("lightning."):
        return None
    message = " ".join(str(error).split()).rstrip(".")
    return UserError(
        f"The trainer can't run with these settings: {message}. Change the setting in question (`ost fit --help all` "
        "explains all settings; OST_TRACEBACK=1 shows where the error was raised)."
    )
