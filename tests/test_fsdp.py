"""FSDP2: training with sharded weights gives the same results as training in one process."""

import csv
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ost_lightning.errors import UserError
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import AffixPrompts, ContextualVideoCLIP, PromptedVideoCLIP, VideoCLIP
from ost_lightning.tasks import (
    ContrastiveRecognition,
    FSDP2Strategy,
    Regularizer,
    StructureDistillation,
    WeightInterpolation,
)
from tests.models.encoders.open_clip_miniatures import write_open_clip
from tests.models.encoders.siglip_miniature import write_siglip
from tests.processes import in_processes, ost
from tests.test_many_processes import TRAINING, WORLD, last_row, on, run
from tests.test_resuming import same

FIT = ["fit", *TRAINING, "--gradient_norm.every=1", "--data.loading.max_videos_per_device=3"]
TOLERANCE = 1e-5


class MemoryRecorder(Callback):
    """Writes how many bytes a process holds between two steps to a file."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        (optimizer,) = trainer.optimizers
        parameters = list(pl_module.parameters())
        held = {
            "weights": sum(map(size, parameters)),
            "states": sum(size(value) for state in optimizer.state.values() for value in state.values()),
            "full": sum(parameter.numel() * parameter.itemsize for parameter in parameters),
        }
        Path(f"held-{trainer.global_rank}.json").write_text(json.dumps(held))


def size(tensor: Tensor) -> int:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).untyped_storage().nbytes()


def checkpoint(folder: Path) -> dict[str, Any]:
    (file,) = folder.rglob("last.ckpt")
    return torch.load(file, weights_only=True)


def logged(folder: Path) -> list[dict[str, float]]:
    (table,) = folder.rglob("metrics.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: float(value) for key, value in row.items() if value and not key.startswith("throughput/")} for row in rows
    ]


def flat(parts: dict[str, Tensor]) -> Tensor:
    # softmax ignores biases of keys: their gradients are rounding errors, which Adam scales up to full steps
    noise = ("k_proj.bias", "head.attention.in_proj_bias")
    return torch.cat([value.flatten().float() for name, value in parts.items() if not name.endswith(noise)])


def moments(saved: dict[str, Any], name: str) -> Tensor:
    (optimizer,) = saved["optimizer_states"]
    return torch.cat([state[name].flatten() for state in optimizer["state"].values()])


def close(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    assert (found - expected).norm() < tolerance * expected.norm()


def same_state(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found["state_dict"]) == list(expected["state_dict"])
    # a short training changes weights by a thousandth
    close(flat(found["state_dict"]), flat(expected["state_dict"]), TOLERANCE / 100)
    groups = [[state["param_groups"] for state in run["optimizer_states"]] for run in (found, expected)]
    same(*groups)
    for name in ("exp_avg", "exp_avg_sq"):
        close(moments(found, name), moments(expected, name))


def same_training(folder: Path, expected: Path) -> None:
    same_state(checkpoint(folder), checkpoint(expected))
    assert logged(folder) == [pytest.approx(row, rel=TOLERANCE) for row in logged(expected)]


@pytest.mark.slow
def test_sharded_training_equals_training_in_one_process(tmp_path: Path) -> None:
    short = ["--trainer.max_epochs=1", "--trainer.gradient_clip_val=0.5"]  # by the norm over all shards
    run([*FIT, *short, "--data.loading.max_videos_per_device=6"], tmp_path / "one")
    folder = tmp_path / "two"
    run([*FIT, *short, "--trainer.callbacks+=tests.test_fsdp.MemoryRecorder", *on(2, "fsdp")], folder)
    same_training(folder, tmp_path / "one")
    held = [json.loads((folder / f"held-{rank}.json").read_text()) for rank in range(2)]
    for process in held:
        assert process["weights"] < 0.51 * process["full"]
        assert process["states"] < 2 * 0.51 * process["full"]
    assert sum(process["weights"] for process in held) >= held[0]["full"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--model.contrast=global_batch"],
        ["--model.contrast=global_batch", "--model.video_clip.gradient_checkpointing=true"],
        ["--trainer.gradient_clip_val=1e-3", "--trainer.gradient_clip_algorithm=value"],
        ["--config=modes/layer_decay", "--model.optimizer.fused=true", "--trainer.num_sanity_val_steps=2"],
        ["--model.matcher.learn_epsilon=true", "--model.matcher.gradient=implicit"],
        ["--model.video_clip.temporal_head=TemporalTransformer", "--trainer.val_check_interval=3"],
        ["--config=modes/frozen_vision"],
        ["--config=modes/frozen_text"],
        ["--config=modes/lora"],
        ["--config=modes/compiled"],
    ],
    ids=" ".join,
)
def test_sharded_training_equals_ddp(tmp_path: Path, options: list[str]) -> None:
    for strategy in ("ddp", "fsdp"):
        run([*FIT, *options, *on(2, strategy)], tmp_path / strategy)
    same_training(tmp_path / "fsdp", tmp_path / "ddp")


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--model.contrast=global_batch"], ["--config=modes/lora"]], ids=" ".join)
def test_sharded_siglip_equals_ddp(tmp_path: Path, options: list[str]) -> None:
    siglip = f"--model.video_clip.pretrained={write_siglip(tmp_path / 'siglip')}"
    for strategy in ("ddp", "fsdp"):
        run([*FIT, *options, siglip, *on(2, strategy)], tmp_path / strategy)
    same_training(tmp_path / "fsdp", tmp_path / "ddp")


@pytest.mark.slow
def test_sharded_open_clip_equals_ddp(tmp_path: Path) -> None:
    """Its towers have single weights below their layers, and projections that are no modules."""
    model = f"--model.video_clip.pretrained={write_open_clip(tmp_path / 'model', 'laion')}"
    for strategy in ("ddp", "fsdp"):
        run([*FIT, model, *on(2, strategy)], tmp_path / strategy)
    found, expected = (checkpoint(tmp_path / strategy)["state_dict"] for strategy in ("fsdp", "ddp"))
    close(flat(found), flat(expected))  # the bias of a key has a gradient of pure rounding error, which Adam amplifies


@pytest.mark.slow
def test_supervised_training_and_mixed_precision(tmp_path: Path) -> None:
    # once a weight differs, bf16 rounds differently, so only the first step can be compared
    options = [
        "--model=SupervisedRecognition",
        "--model.video_clip=VideoCLIP",
        "--model.video_clip.pretrained=tiny",
        "--model.video_clip.freeze_text=true",
        "--model.matcher=OptimalDescriptorSolver",
        "--trainer.precision=bf16-mixed",
        "--trainer.max_steps=1",
    ]
    for strategy in ("ddp", "fsdp"):
        run([*FIT, *options, *on(2, strategy)], tmp_path / strategy)
    same_training(tmp_path / "fsdp", tmp_path / "ddp")


@pytest.mark.slow
def test_a_sharded_checkpoint_can_be_tested_on_any_number_of_processes(tmp_path: Path) -> None:
    run([*FIT, *on(2, "fsdp")], tmp_path / "fit")
    (file,) = (tmp_path / "fit").rglob("last.ckpt")
    rows = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        # without training, fsdp shards nothing, so callbacks can mix full weights
        run(["test", *WORLD, f"--ckpt_path={file}", *on(devices, "fsdp")], folder)
        rows.append(last_row(folder))
    assert rows[0] == rows[1]
    assert {"test/unseen/top1", "test/unseen/ensembled_0.2/top1"} <= rows[0].keys()


@pytest.mark.slow
def test_an_interrupted_run_can_be_resumed_with_either_strategy(tmp_path: Path) -> None:
    # several parameter groups, in another order than the parameters of the model
    fit = [*FIT, "--config=modes/layer_decay", "--checkpoint.every_n_steps=2"]
    run([*fit, *on(2, "fsdp")], tmp_path / "uninterrupted")
    expected = checkpoint(tmp_path / "uninterrupted")
    at = ["moment=batch_start", "step=4", "how=SIGTERM"]
    interrupt = ["--trainer.callbacks+=tests.interruptions.InterruptAt", *(f"--trainer.callbacks.{a}" for a in at)]
    for before in ("fsdp", "ddp"):
        stopped = tmp_path / before
        stopped.mkdir()
        assert ost([*fit, *interrupt, *on(2, before)], stopped).returncode > 0
        for after in ("fsdp", "ddp"):
            folder = tmp_path / f"{before}-{after}"
            shutil.copytree(stopped, folder)
            run([*fit, *on(2, after), "--ckpt_path=last"], folder)
            found = checkpoint(folder)
            assert found["global_step"] == expected["global_step"]
            if before == after == "fsdp":
                same(found["state_dict"], expected["state_dict"])
                same(found["optimizer_states"], expected["optimizer_states"])
            same_state(found, expected)


def shard_again(folder: Path) -> None:
    strategy, task = FSDP2Strategy(), ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver())
    fully_shard(task.video_clip.encoder.model.text_model, mesh=init_device_mesh("cpu", (1,)))
    strategy.connect(task)
    with pytest.raises(UserError, match="sharded by an earlier training"):
        strategy.setup(Trainer(strategy=strategy, accelerator="cpu", devices=1, logger=False, default_root_dir=folder))


@pytest.mark.slow
def test_a_task_can_be_sharded_only_once(tmp_path: Path) -> None:
    in_processes(1, shard_again, tmp_path)


class Vector(OptimalDescriptorSolver):
    """Matcher with a learned vector."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("matcher", "options", "message"),
    [
        (OptimalDescriptorSolver, {"precision": "64-true"}, "trainer.precision is 64-true"),
        (OptimalDescriptorSolver, {"callbacks": StochasticWeightAveraging(1e-3)}, "StochasticWeightAveraging copies"),
        (OptimalDescriptorSolver, {"callbacks": EMAWeightAveraging()}, "EMAWeightAveraging copies"),
        (Vector, {}, r"matcher.vector, of shape \(3,\)"),
    ],
)
def test_incompatible_settings_are_rejected(
    matcher: type[OptimalDescriptorSolver], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    strategy = FSDP2Strategy()
    trainer = Trainer(
        strategy=strategy, accelerator="cpu", devices=1, default_root_dir=tmp_path, logger=False, **options
    )
    task = ContrastiveRecognition(VideoCLIP("tiny"), matcher())
    task.trainer = trainer
    strategy.connect(task)
    with pytest.raises(UserError, match=message):
        strategy.configure_ddp()


@pytest.mark.parametrize(
    ("clip", "terms", "message"),
    [
        (partial(PromptedVideoCLIP, text_prompts=AffixPrompts), [], r"runs towers as a whole.*for learned prompts"),
        (ContextualVideoCLIP, [], r"runs towers as a whole.*for temporal context"),
        (VideoCLIP, [StructureDistillation()], "shards the weights that StructureDistillation needs as a whole"),
        (VideoCLIP, [WeightInterpolation()], "shards the weights that WeightInterpolation needs as a whole"),
    ],
)
def test_what_needs_whole_towers_or_weights_is_rejected(
    clip: Callable[[str], VideoCLIP], terms: list[Regularizer], message: str, tmp_path: Path
) -> None:
    strategy = FSDP2Strategy()
    task = ContrastiveRecognition(clip("tiny"), OptimalDescriptorSolver(), regularizers=terms)
    task.trainer = Trainer(strategy=strategy, accelerator="cpu", devices=1, default_root_dir=tmp_path, logger=False)
    strategy.connect(task)
    with pytest.raises(UserError, match=rf"trainer\.strategy fsdp {message}.*use ddp"):
        strategy.configure_ddp()
