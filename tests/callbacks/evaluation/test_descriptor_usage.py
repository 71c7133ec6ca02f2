import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from ost_lightning.callbacks import DescriptorUsage, WeightEnsembling
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver, TransportWarning
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from tests.videos import write_video


def videos(folder: Path) -> VideoLists:
    """Creates five videos of two classes, one of them broken, in a batch of three and one of two."""
    if not (folder / "0.mp4").exists():  # with several threads the encoder writes slightly different files each time
        for k in range(4):
            write_video(folder / f"{k}.mp4", 10, width=64, height=64, seed=k)
    (folder / "broken.mp4").write_bytes(b"x")
    (folder / "classes.txt").write_text("juggling\nswimming\nnobody\n")
    names = ("juggling", "swimming", "nobody")
    lists = {name: {"spatio": [f"{name} ball", "a drum"], "temporal": ["throws", f"{name} ends"]} for name in names}
    (folder / "descriptors.json").write_text(json.dumps({"classes": lists}))
    (folder / "list.txt").write_text("0.mp4 0\nbroken.mp4 0\n1.mp4 1\n2.mp4 1\n3.mp4 0\n")
    return VideoLists(
        folder,
        test={"own": VideoList(folder / "list.txt", str(folder))},
        clips=ClipSettings(frames=4, short_side=54, crop_size=48, views=2),
        loading=LoadingSettings(workers=0, evaluation_batch_size=3, on_decode_error="count"),
    )


def run(folder: Path, matcher: Matcher, *more: Callback) -> tuple[ContrastiveRecognition, dict[str, float]]:
    task = ContrastiveRecognition(VideoCLIP("tiny"), matcher, descriptors_per_class=2)
    callbacks = [*more, DescriptorUsage(folder / "out")]
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=callbacks,
    )
    with pytest.warns(UserWarning, match="broken"):
        trainer.test(task, datamodule=videos(folder), verbose=False)
    return task, {key: float(value) for key, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("more", [(), (WeightEnsembling((0.5,)),)], ids=["alone", "with mixtures"])
def test_the_files_agree_with_the_test(tmp_path: Path, more: tuple[Callback, ...]) -> None:
    task, metrics = run(tmp_path, OptimalDescriptorSolver(), *more)
    found = json.loads((tmp_path / "out" / "descriptor_usage.json").read_text())["own"]
    assert [(entry["name"], entry["videos"]) for entry in found["classes"]] == [("juggling", 2), ("swimming", 2)]
    # the broken video counts as wrong in the test, and is ignored in the usage
    assert found["summary"]["top1"] * 4 == pytest.approx(metrics["test/own/top1"] * 5)
    assert (tmp_path / "out" / "descriptor_usage.csv").read_text().count("\n") == 1 + 2 * 4
    assert "4 videos of 2 classes" in (tmp_path / "out" / "descriptor_usage.md").read_text()
    assert not task.scorers
    assert not [key for key in metrics if "usage" in key]  # its scorer is not one of the run's results


def test_figures_follow_from_the_transport_plan(tmp_path: Path) -> None:
    task, _ = run(tmp_path, OptimalDescriptorSolver())
    found = json.loads((tmp_path / "out" / "descriptor_usage.json").read_text())["own"]
    data = videos(tmp_path)
    data.prepare_data()
    data.setup("test")
    labels = data.evaluation_labels("test")["own"]
    batches = list(data.test_dataloader()[0])
    with torch.no_grad():
        texts = task.video_clip.encode_sentences(task.tokenize(labels))
        cosines, plans = [], []
        for batch in batches:
            kept = batch.decoded & (batch.labels == 1)
            for clip in batch.frames[kept].flatten(0, 1):
                frames = task.video_clip.encode_frames(clip[None])
                cosine, plan = task.matcher.cosines_and_plan(frames, texts["temporal"][1:2], "temporal")
                cosines.append(cosine[0, 0])
                plans.append(plan[0, 0] / plan.sum())
    uses = [use for use in found["classes"][1]["descriptors"] if use["kind"] == "temporal"]
    assert len(cosines) == 4  # two videos in two views
    mean = torch.stack(cosines).mean((0, 1))
    moved = torch.stack([(plan * cosine).sum(0) for plan, cosine in zip(plans, cosines, strict=True)]).mean(0)
    leading = torch.stack([torch.bincount(plan.argmax(1), minlength=2) / 4 for plan in plans]).mean(0)
    mass = torch.stack([plan.sum(0) for plan in plans]).mean(0)
    for n, use in enumerate(uses):
        assert use["cosine"] == pytest.approx(float(mean[n]), abs=1e-4)
        assert use["mass"] == pytest.approx(float(mass[n]), abs=1e-4)
        assert use["transported_cosine"] == pytest.approx(float(moved[n] / mass[n]), abs=1e-4)
        assert use["leads"] == pytest.approx(float(leading[n]))
        assert use["mass"] == pytest.approx(0.5, abs=0.01)  # balanced: 1/N by construction


def test_the_tasks_count_of_unconverged_problems_is_unchanged(tmp_path: Path) -> None:
    counted: list[int] = []

    class Counting(OptimalDescriptorSolver):
        def unconverged(self) -> Tensor | None:
            count = super().unconverged()
            counted.append(int(count))
            return count

    with pytest.warns(TransportWarning, match="of the test have not converged"):
        task, _ = run(tmp_path, Counting(max_iterations=1, tolerance=1e-9))
    # two videos in two views against three classes, of each kind, in two batches
    assert counted[-1] == 12 * 4
    assert int(task.matcher.unconverged()) == 0  # the test has reported and reset the count


def test_matchers_without_a_plan_record_nothing(tmp_path: Path) -> None:
    run(tmp_path, CategoryName())
    assert not (tmp_path / "out").exists()
