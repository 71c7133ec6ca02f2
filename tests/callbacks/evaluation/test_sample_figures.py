from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.cli import main
from tests.interruptions import Interrupted
from tests.videos import write_video

SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--data.clips.frames=4"]
SMALL += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL += ["--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=1"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pictures_every_second_validation_in_the_folder_and_in_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--trainer.callbacks=SampleFigures", "--trainer.callbacks.every=2"]
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
def test_a_run_that_goes_on_has_the_pictures_of_every_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
