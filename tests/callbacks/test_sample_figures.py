from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.cli import main

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
        f"epoch{epoch:03d}/seen_{what}.png" for epoch in (0, 2) for what in ("confusion", "flow")
    ]
    assert all(min(Image.open(file).size) > 300 for file in pictures)
    media = [path for path in Path("runs/toyworld/wandb").rglob("media/**/*") if path.is_file()]
    assert len([path for path in media if path.suffix == ".png"]) == 4
    assert len([path for path in media if path.name.endswith(".table.json")]) == 2
