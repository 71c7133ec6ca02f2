"""The real command in several processes: results must equal those of one process."""

import csv
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ost_lightning.callbacks.resuming import read_notes
from tests.processes import LIMIT, command, environment, ost
from tests.test_resuming import same
from tests.videos import write_video

QUIET = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
WORLD = ["--config=toyworld", "--data.test_clips=1", "--data.loading.workers=0", "--data.clips.frames=4", *QUIET]
TRAINING = [
    *WORLD,
    "--data.train_clips=1",
    "--data.loading.global_batch_size=12",
    "--trainer.max_epochs=2",
    "--trainer.check_val_every_n_epoch=1",
    "--trainer.log_every_n_steps=1",
]
pytestmark = pytest.mark.slow


def on(devices: int, strategy: str = "ddp") -> list[str]:
    return (
        [f"--trainer.devices={devices}", "--trainer.accelerator=cpu", f"--trainer.strategy={strategy}"]
        if devices > 1
        else []
    )


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    done = ost(arguments, folder)
    assert done.returncode == 0, done.stderr
    return done


def last_row(folder: Path) -> dict[str, str]:
    (table,) = folder.rglob("metrics.csv")
    with table.open(newline="") as file:
        return {key: value for key, value in list(csv.DictReader(file))[-1].items() if "/" in key}


def weights(folder: Path) -> torch.Tensor:
    (file,) = folder.rglob("last.ckpt")
    state = torch.load(file, weights_only=True)["state_dict"]
    # softmax ignores biases of keys: their gradients are rounding errors, which Adam scales up to full steps
    return torch.cat([value.flatten() for name, value in state.items() if not name.endswith("k_proj.bias")])


def two_sets(folder: Path) -> list[str]:
    """Creates two sets, of seven videos and of one, so that some processes have no video of the second."""
    for k in range(8):
        write_video(folder / f"{k}.mp4", 10, width=64, height=64, seed=k)
    (folder / "classes.txt").write_text("juggling\nswimming\n")
    (folder / "descriptors.json").write_text(
        '{"classes": {"juggling": {"spatio": ["a ball", "hands"], "temporal": ["throws", "catches"]}, '
        '"swimming": {"spatio": ["a pool", "water"], "temporal": ["dives", "swims"]}}}'
    )
    lists = {"many": range(7), "one": range(7, 8), "train": range(6)}
    for name, numbers in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{k}.mp4 {k % 2}\n" for k in numbers))
    sets = {name: {"list": str(folder / f"{name}.txt"), "labels": str(folder)} for name in ("many", "one")}
    return [
        "--config=own_videos",
        "--model.video_clip.pretrained=tiny",
        "--model.descriptors_per_class=2",
        f"--data.root={folder}",
        f"--data.train={{list: {folder}/train.txt, labels: {folder}}}",
        f"--data.val={sets}",
        f"--data.test={sets}",
        "--data.clips.short_side=54",
        "--data.clips.crop_size=48",
        "--data.loading.global_batch_size=6",
        "--data.loading.max_videos_per_device=2",
        "--data.loading.evaluation_batch_size=2",
        "--data.loading.workers=0",
        "--trainer.accelerator=cpu",
        "--trainer.precision=32",
        "--trainer.max_epochs=1",
        *QUIET,
    ]


def test_evaluation_is_independent_of_the_number_of_processes(tmp_path: Path) -> None:
    rows = {}
    for devices in (1, 2, 3):
        folder = tmp_path / str(devices)
        done = run(
            ["test", *WORLD, "--data.test_sets=[unseen,order]", "--data.loading.evaluation_batch_size=7", *on(devices)],
            folder,
        )
        for name in ("unseen", "order"):
            assert re.search(rf"^\| {name} \|.*\| 20 / 20 \|", done.stdout, re.MULTILINE)
        rows[devices] = last_row(folder)
    assert rows[1] == rows[2] == rows[3]
    assert rows[1]["test/unseen/videos"] == "20.0"
    assert float(rows[1]["test/unseen/top1"]) > 0


def test_every_video_is_scored_once_even_if_a_process_has_none_of_a_set(tmp_path: Path) -> None:
    options = two_sets(tmp_path / "videos")
    rows = {}
    for devices in (1, 2, 3):
        folder = tmp_path / str(devices)
        done = run(["test", *options, *on(devices)], folder)
        counts = re.findall(r"^\| (\w+) \|.*\| (\d+) / (\d+) \|", done.stdout, re.MULTILINE)
        assert counts == [("many", "7", "7"), ("one", "1", "1")]
        rows[devices] = last_row(folder)
        run(["predict", *options, *on(devices)], folder / "predicted")
        for written in ("runs", "predicted"):
            ids = [
                row["video"]
                for table in (folder / written).rglob("predictions*.csv")
                for row in csv.DictReader(table.read_text().splitlines())
            ]
            assert sorted(ids) == [f"{k}.mp4" for k in range(8)]
    assert rows[1] == rows[2] == rows[3]


def test_files_of_callbacks_are_independent_of_the_number_of_processes(tmp_path: Path) -> None:
    written: dict[int, dict[str, bytes]] = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        order = ["--order_report=2", "--model.matcher.temporal.order_sigma=0.1"]
        run(["test", *WORLD, "--trainer.callbacks=DescriptorUsage", *order, *on(devices)], folder)
        run(["validate", *WORLD, "--trainer.callbacks=SampleFigures", *on(devices)], folder)
        files = [*folder.rglob("descriptor_usage.*"), *folder.rglob("*_order.csv"), *folder.rglob("figures/**/*.png")]
        written[devices] = {str(file.relative_to(folder)): file.read_bytes() for file in files}
    assert len(written[1]) == 6  # four tables, two pictures
    assert written[1].keys() == written[2].keys()
    for name, content in written[1].items():
        assert written[2][name] == content, name


def test_validation_during_training_handles_unequal_shares(tmp_path: Path) -> None:
    options = two_sets(tmp_path / "videos")
    rows = {}
    for devices in (1, 3):
        folder = tmp_path / str(devices)
        done = run(["fit", *options, *on(devices)], folder)
        assert re.search(r"val/many: Top-1 [\d.]+ %, Top-5 100\.0 % of 7 videos$", done.stderr, re.MULTILINE)
        assert re.search(r"val/one: Top-1 [\d.]+ %, Top-5 100\.0 % of 1 video$", done.stderr, re.MULTILINE)
        rows[devices] = last_row(folder)
    assert rows[1] == rows[3]


@pytest.mark.parametrize("contrast", ["micro_batch", "global_batch"])
def test_training_in_two_processes_equals_training_in_one(tmp_path: Path, contrast: str) -> None:
    found = {}
    for devices, limit in ((1, 6), (2, 3)):
        folder = tmp_path / str(devices)
        options = [f"--model.contrast={contrast}", f"--data.loading.max_videos_per_device={limit}"]
        run(["fit", *TRAINING, *options, *on(devices)], folder)
        found[devices] = weights(folder), last_row(folder)
    assert found[1][1].keys() == found[2][1].keys()
    assert (found[1][0] - found[2][0]).norm() < 1e-4 * found[1][0].norm()


@pytest.mark.parametrize(("name", "more"), [("x_clip_training", ["--model.video_clip.frames=2"]), ("tc_clip", [])])
def test_towers_that_relate_frames_train_alike_in_one_and_two_processes(
    name: str, more: list[str], tmp_path: Path
) -> None:
    options = [f"--config=baselines/{name}", "--data.clips.frames=2", *more]
    options += ["--model.mixing.mixup=0", "--model.mixing.cutmix=0"]  # drawn by each process for itself
    found = {}
    for devices, limit in ((1, 6), (2, 3)):
        more = [f"--data.loading.max_videos_per_device={limit}", "--trainer.max_steps=4"]
        run(["fit", *TRAINING, *options, *more, *on(devices)], tmp_path / str(devices))
        found[devices] = weights(tmp_path / str(devices))
    assert (found[1] - found[2]).norm() < 1e-4 * found[1].norm()


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_loss_terms_and_averages_are_those_of_one_process(tmp_path: Path, strategy: str) -> None:
    terms = [
        {"class_path": "WeightInterpolation"},
        # directions differ between processes; its projection and teacher do not
        {"class_path": "StructureDistillation", "init_args": {"weight": 0.0, "momentum": 0.5}},
    ]
    overlay = tmp_path / "terms.yaml"
    overlay.write_text(yaml.safe_dump({"model": {"init_args": {"regularizers": terms if strategy == "ddp" else []}}}))
    options = ["--config=ingredients/trajectory_average", f"--config={overlay}"]
    found = {}
    for devices, limit in ((1, 6), (2, 3)):
        folder = tmp_path / str(devices)
        run(
            ["fit", *TRAINING, *options, f"--data.loading.max_videos_per_device={limit}", *on(devices, strategy)],
            folder,
        )
        (average,) = folder.rglob("trajectory_average.ckpt")
        (last,) = folder.rglob("last.ckpt")
        saved = torch.load(last, weights_only=True)
        teacher = saved.get("ost_regularizers", {}).get("StructureDistillation", {}).get("teacher", {})
        found[devices] = [
            torch.cat([value.flatten() for name, value in part.items() if not name.endswith("k_proj.bias")])
            for part in (saved["state_dict"], torch.load(average, weights_only=True)["state_dict"], teacher)
            if part
        ]
    assert len(found[1]) == (3 if strategy == "ddp" else 2)
    for one, two in zip(found[1], found[2], strict=True):
        assert (one - two).norm() < 1e-4 * one.norm()


def test_two_interrupted_processes_resume_exactly(tmp_path: Path) -> None:
    fit = ["fit", *TRAINING, "--trainer.callbacks+=tests.interruptions.Dropout", *on(2), "--checkpoint.every_n_steps=2"]
    interrupt = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.step=4"]
    run(fit, tmp_path / "uninterrupted")
    (expected,) = (tmp_path / "uninterrupted").rglob("last.ckpt")
    for how, status in (("SIGKILL", None), ("SIGTERM", 128 + signal.SIGTERM)):
        folder = tmp_path / how
        folder.mkdir()
        # only one process receives the signal
        at = [*interrupt, "--trainer.callbacks.moment=batch_start", f"--trainer.callbacks.how={how}"]
        stopped = ost([*fit, *at, f"--trainer.callbacks.rank={int(how == 'SIGKILL')}"], folder)
        assert stopped.returncode == status if status else stopped.returncode != 0
        run([*fit, "--ckpt_path=last"], folder)
        (last,) = folder.rglob("last.ckpt")
        found, reference = (torch.load(file, weights_only=True) for file in (last, expected))
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
            same(found[part], reference[part], f"{how}/{part}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_two_torchrun_nodes_equal_one_process(tmp_path: Path) -> None:
    run(["fit", *TRAINING], tmp_path / "one")
    folder = tmp_path / "nodes"
    folder.mkdir()
    port = free_port()
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"]
    arguments = command("fit", *TRAINING, *on(2)[1:], "--trainer.devices=1", "--trainer.num_nodes=2")[1:]
    nodes = [
        subprocess.Popen(
            [*launch, f"--node_rank={rank}", "--master_addr=127.0.0.1", f"--master_port={port}", *arguments],
            cwd=folder,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [node.communicate(timeout=LIMIT)[1] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], errors
    assert (weights(folder) - weights(tmp_path / "one")).norm() < 1e-4 * weights(folder).norm()
    (file,) = folder.rglob("last.ckpt")
    assert read_notes(file).metrics_rows > 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a5", []),
        ("vita_clip", ["--data.clips.frames=4", "--model.video_clip.vision_prompts.frames=4"]),
        (
            "dist",
            [
                "--data.clips.frames=4",
                "--model.video_clip.side_network.frames=4",
                "--model.video_clip.side_network.integration_width=64",
                "--model.mixing={mixup: 0, cutmix: 0}",  # each process draws its own
            ],
        ),
    ],
)
def test_prompts_and_networks_of_two_processes_are_those_of_one(name: str, options: list[str], tmp_path: Path) -> None:
    for devices in (1, 2):
        arguments = ["fit", *TRAINING, f"--config=baselines/{name}", *options, *on(devices)]
        run([*arguments, "--trainer.max_epochs=1"], tmp_path / str(devices))
    # Adam scales rounding errors of small gradients up; other gradients would differ by the learning rate, 3e-4
    torch.testing.assert_close(weights(tmp_path / "2"), weights(tmp_path / "1"), rtol=1e-4, atol=1e-4)
