import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from ost_lightning.callbacks import SampleFigures
from ost_lightning.callbacks.evaluation import sample_figures
from ost_lightning.cli import main
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from tests.interruptions import Interrupted
from tests.videos import write_video

SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--data.clips.frames=4"]
SMALL += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL += ["--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=1"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_figures_of_every_second_validation_in_the_folder_and_in_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--tracking.wandb=true", "--trainer.callbacks=SampleFigures", "--trainer.callbacks.every=2"]
    assert main(["fit", *SMALL, *options]) == 0
    pictures = sorted(Path("runs/toyworld/version_0/figures").rglob("*.png"))
    assert [f"{file.parent.name}/{file.name}" for file in pictures] == [
        f"{folder}/seen_{what}.png"
        for folder in ("epoch000-step000001", "epoch002-step000003")
        for what in ("confusion", "flow")
    ]
    assert all(min(Image.open(file).size) > 300 for file in pictures)
    media = [path for path in Path("runs/toyworld/wandb").rglob("media/**/*") if path.is_file()]
    assert len([path for path in media if path.suffix == ".png"]) == 4
    assert len([path for path in media if path.name.endswith(".table.json")]) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_resumed_run_draws_the_figures_of_every_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = [*SMALL, "--tracking.wandb=false", "--trainer.callbacks=SampleFigures", "--trainer.callbacks.every=2"]
    options += ["--data.loading.global_batch_size=10", "--trainer.val_check_interval=1", "--trainer.max_epochs=1"]
    stop = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.moment=validation"]
    with pytest.raises(Interrupted):
        main(["fit", *options, *stop, "--trainer.callbacks.step=3"])
    assert main(["fit", *options, "--ckpt_path=last"]) == 0
    folders = sorted(path.name for path in Path("runs/toyworld/version_0/figures").iterdir())
    assert folders == ["epoch000-step000001", "epoch000-step000003"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_set_of_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k in range(2):
        write_video(Path(f"{k}.mp4"), 4, width=64, height=64, seed=k)
    Path("classes.txt").write_text("juggling\n")
    Path("list.csv").write_text("path,label\n0.mp4,0\n1.mp4,0\n")
    options = ["--data=VideoTable", "--data.root=.", "--data.labels=.", "--data.val={own: list.csv}"]
    options += ["--data.clips.short_side=54", "--data.clips.crop_size=48", "--data.clips.frames=2"]
    options += ["--data.loading.workers=0", "--model.matcher=CategoryName", "--tracking.wandb=false"]
    assert main(["validate", "--config=toyworld", *options, "--trainer.callbacks=SampleFigures"]) == 0
    assert [file.name for file in Path("runs").rglob("*.png")] == ["own_confusion.png"]


class Undecided(OptimalDescriptorSolver):
    """Matcher for which one view strongly favors the first class, and two views slightly favor the second."""

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        return torch.tensor([[0.30, 0.10], [0.20, 0.22], [0.20, 0.22]])


@pytest.mark.parametrize(("label", "shown"), [(1, ["swimming"]), (0, ["swimming", "juggling"])])
def test_figures_show_the_prediction_that_was_scored(
    label: int, shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean probabilities are 0.41 and 0.59; the mean similarities, 0.23 and 0.18, would give the other class."""
    write_video(tmp_path / "0.mp4", 12, width=64, height=64)
    (tmp_path / "classes.txt").write_text("juggling\nswimming\n")
    words = {"spatio": ["a ball", "a drum"], "temporal": ["throws", "catches"]}
    (tmp_path / "descriptors.json").write_text(json.dumps({"classes": {"juggling": words, "swimming": words}}))
    (tmp_path / "list.txt").write_text(f"0.mp4 {label}\n")
    data = VideoLists(
        tmp_path,
        val={"own": VideoList(tmp_path / "list.txt", str(tmp_path))},
        clips=ClipSettings(frames=2, views=3, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0),
    )
    task = ContrastiveRecognition(VideoCLIP("tiny"), Undecided(), descriptors_per_class=2)
    task.video_clip.similarity_to_logits = lambda similarities: 100 * similarities
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(sample_figures, "draw_confusion", lambda matrix, *_: drawn.update(confusion=matrix.tolist()))
    monkeypatch.setattr(sample_figures, "draw_matching_flows", lambda *given: drawn.update(flow=given))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path, callbacks=[SampleFigures()], **quiet)
    trainer.validate(task, datamodule=data, verbose=False)
    assert float(trainer.callback_metrics["val/own/top1"]) == label
    assert drawn["confusion"] == [[label, 1, 1]]
    flows, title, _, seconds = drawn["flow"]
    assert title == f"0.mp4: recognized as 'swimming', ground truth: '{shown[-1]}'"
    assert [*flows] == [f"{name}: {kind} Descriptors" for name in shown for kind in ("Spatio", "Temporal")]
    assert len(seconds) == 2
    assert 0 <= seconds[0] < seconds[1] < 12 / 25
