"""Tests on a GPU: `pytest -m gpu`, on a machine that has one."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.evaluation import similarities
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.video import TrainingTransform
from tests.interruptions import Interrupted

pytestmark = pytest.mark.gpu

SETTINGS = ["--config=toyworld", "--data.train_clips=4", "--data.test_clips=3", "--data.loading.workers=2"]
SETTINGS += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
RUNS = Path("runs/toyworld")
FIT = ["fit", *SETTINGS, "--trainer.accelerator=gpu", "--trainer.devices=1", "--trainer.max_epochs=3"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def last_row(run: str, key: str) -> float:
    with (RUNS / run / "metrics.csv").open(newline="") as file:
        return [float(row[key]) for row in csv.DictReader(file) if row.get(key)][-1]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("modes", [(), ("low_memory",), ("compiled", "layer_decay"), ("lora",)], ids="+".join)
def test_a_model_trained_on_a_gpu_scores_the_same_on_gpu_and_cpu(modes: tuple[str, ...]) -> None:
    precision = ["--trainer.precision=bf16-mixed"] if "low_memory" not in modes else []
    overlays = [f"--config=modes/{mode}" for mode in modes]
    assert main([*FIT, *overlays, *precision]) == 0
    assert last_row("version_0", "train/loss") < 2.5  # log 32 is 3.5
    trained = ["--ckpt_path=runs/toyworld/version_0/checkpoints/last.ckpt", "--trainer.callbacks=WeightEnsembling"]
    trained += ["--trainer.callbacks.ratios=[0.5]"]
    for accelerator in ("gpu", "cpu"):
        one = [f"--trainer.accelerator={accelerator}", "--trainer.devices=1"]
        assert main(["test", *SETTINGS, *overlays, "--trainer.precision=32-true", *one, *trained]) == 0
    for name in ("top1", "ensembled_0.5/top1"):
        scores = [last_row(f"version_{k}", f"test/unseen/{name}") for k in (1, 2)]
        assert scores[0] > 0.2  # chance is 0.05
        assert scores[0] == pytest.approx(scores[1], abs=1 / 60 + 1e-6)  # one video of sixty may be undecided


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_interrupted_training_can_be_resumed() -> None:
    steps = ["--trainer.limit_val_batches=0", "--trainer.callbacks=[]", "--trainer.max_epochs=2"]
    assert main([*FIT, *steps]) == 0
    interrupt = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.moment=batch_end"]
    with pytest.raises(Interrupted):
        main([*FIT, *steps, *interrupt, "--trainer.callbacks.step=7", "--checkpoint.every_n_steps=6"])
    assert main([*FIT, *steps, "--ckpt_path=last"]) == 0
    weights = []
    for run in ("version_0", "version_1"):
        checkpoint = torch.load(RUNS / run / "checkpoints" / "last.ckpt", weights_only=False)
        weights.append(torch.cat([weight.float().cpu().flatten() for weight in checkpoint["state_dict"].values()]))
    assert checkpoint["global_step"] == 10
    # the order of a GPU's sums varies
    assert float((weights[0] - weights[1]).norm()) < 1e-3 * float(weights[0].norm())


def test_embeddings_agree_with_the_cpu() -> None:
    on_cpu, on_gpu = VideoCLIP("tiny").eval(), VideoCLIP("tiny").eval().cuda()
    frames = torch.randint(0, 256, (3, 4, 3, 48, 48), dtype=torch.uint8)
    task = ContrastiveRecognition(on_cpu, OptimalDescriptorSolver())
    sentences = task.tokenize(label_space(0, "seen"))
    with torch.no_grad():
        torch.testing.assert_close(
            on_gpu.encode_frames(frames.cuda()).cpu(), on_cpu.encode_frames(frames), atol=1e-4, rtol=0
        )
        texts = on_cpu.encode_sentences(sentences)
        for kind, rows in on_gpu.encode_sentences(sentences).items():
            torch.testing.assert_close(rows.cpu(), texts[kind], atol=1e-4, rtol=0)
        with torch.autocast("cuda", torch.bfloat16):
            rounded = on_gpu.encode_frames(frames.cuda())
            matcher = OptimalDescriptorSolver().cuda()
            scores = similarities(on_gpu, matcher, on_gpu.encode_sentences(sentences), rounded)
        assert rounded.dtype == scores.dtype == torch.float32
        torch.testing.assert_close(rounded.cpu(), on_cpu.encode_frames(frames), atol=0.03, rtol=0)
        exact = similarities(on_cpu, task.matcher, texts, rounded.cpu())
        torch.testing.assert_close(scores.cpu(), exact, atol=0.01, rtol=0)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fp8_embeddings_agree_with_the_cpu(compiled: bool, precision: str) -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        with pytest.raises(UserError, match="compute capability"):
            VideoCLIP("tiny").encoder.use_fp8([torch.device("cuda")])
        return
    on_cpu, on_gpu = VideoCLIP("tiny").eval(), VideoCLIP("tiny").eval().cuda()
    frames = torch.randint(0, 256, (3, 4, 3, 48, 48), dtype=torch.uint8)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        exact = on_cpu.encode_frames(frames)
        for model, device in ((on_cpu, "cpu"), (on_gpu, "cuda")):
            model.encoder.use_fp8([torch.device(device)])
        if compiled:
            on_gpu.encoder.tower("vision").backbone.compile()
        found = on_gpu.encode_frames(frames.cuda()).cpu()
        for expected, least in ((on_cpu.encode_frames(frames), 0.999), (exact, 0.99)):
            assert float(torch.nn.functional.cosine_similarity(found, expected, dim=-1).min()) > least


def test_a_timeline_on_a_gpu_is_that_of_the_cpu(tmp_path: Path) -> None:
    write_mp4(
        tmp_path / "long.mp4", np.concatenate([render_clip(action, "a") for action in draw_classes(0)["unseen"][:4]])
    )
    on_cpu, on_gpu = (Recognizer.load("tiny", label_space(0, "unseen"), device) for device in ("cpu", "cuda"))
    video = on_gpu.embed(tmp_path / "long.mp4")
    torch.testing.assert_close(video.embeddings, on_cpu.embed(tmp_path / "long.mp4").embeddings, atol=1e-4, rtol=0)
    # embeddings are interchangeable
    scores, expected = on_gpu.stretch_scores(video).evidence, on_cpu.stretch_scores(video).evidence
    torch.testing.assert_close(scores, expected, atol=1e-3, rtol=0)
    assert all(segment.evidence for segment in on_gpu.timeline(video).segments)


def test_the_gradient_cache_equals_a_large_batch_in_less_memory() -> None:
    task = ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver()).cuda()
    sentences = task.tokenize(label_space(0, "seen"))
    clips = torch.randint(0, 256, (64, 1, 8, 3, 48, 48), dtype=torch.uint8, device="cuda")
    labels = torch.randint(0, 20, (64,), device="cuda")
    results = []
    for parts in (64, 4):
        task.zero_grad(set_to_none=False)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        loss = task.loss(list(clips.split(parts)), list(labels.split(parts)), sentences)
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in task.parameters()])
        results.append((torch.cuda.max_memory_allocated() - before, loss.item(), gradients))
    full, cached = results
    assert cached[0] < 0.25 * full[0]
    assert cached[1] == pytest.approx(full[1], rel=1e-5)
    assert float((cached[2] - full[2]).norm()) < 1e-4 * float(full[2].norm())


def test_no_step_waits_for_the_device() -> None:
    task = ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver()).cuda()
    sentences = task.tokenize(label_space(0, "seen"))
    clips, labels = torch.zeros(6, 1, 4, 3, 48, 48, dtype=torch.uint8, device="cuda"), torch.arange(6)
    optimizer = torch.optim.AdamW(task.parameters(), fused=True)
    texts = task.video_clip.encode_sentences(sentences)
    for mode in ("default", "error"):  # the first time, kernels are compiled
        torch.cuda.set_sync_debug_mode(mode)
        try:
            task.loss([clips], [labels], sentences).backward()
            optimizer.step()
            with torch.inference_mode():
                scores = similarities(task.video_clip, task.matcher, texts, task.video_clip.encode_frames(clips[:, 0]))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(scores).all()


def test_colors_agree_with_the_cpu() -> None:
    clips = torch.randint(0, 256, (6, 1, 3, 3, 24, 24), dtype=torch.uint8)
    for settings in ({"color_jitter": 1.0}, {"color_jitter": 0.0, "grayscale": 1.0}, {"rand_augment": (2, 9)}):
        transform = TrainingTransform(24, **settings)
        on_cpu = transform(clips.clone(), range(6)).int()
        on_gpu = transform(clips.cuda(), range(6)).cpu().int()
        assert float(((on_cpu - on_gpu).abs() <= 2).float().mean()) > 0.99, json.dumps(settings)
        assert float((on_cpu - clips).abs().float().mean()) > 1


def test_the_optimizer_is_fused() -> None:
    task = ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver()).cuda()
    task.trainer = type("Steps", (), {"estimated_stepping_batches": 10})()
    assert all(group["fused"] for group in task.configure_optimizers()["optimizer"].param_groups)
