from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ost_lightning.cli import main
from ost_lightning.toyworld.dataset import RenderedPart
from ost_lightning.video import read_frames


def test_sheet_shows_the_decoded_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pictures" / "sheet.png"
    options = ["--group=order", "--classes=[0, 3]", "--clips_per_class=1"]
    assert main(["toyworld", "sheet", str(file), *options]) == 0
    assert capsys.readouterr().out.strip().endswith(str(file))
    sheet = np.asarray(Image.open(file).convert("RGB")).astype(float)
    videos = sorted(RenderedPart(0, "order", "test", 1).folder.glob("*.mp4"))
    assert sheet.shape == (2 * 112, 330 + 8 * 108, 3)
    first = Image.open(file).convert("RGB").crop((330, 0, 330 + 108, 108)).resize((72, 72), Image.Resampling.BOX)
    distances = {
        video: float(
            np.abs(read_frames(video, [2], None)[0].permute(1, 2, 0).numpy() - np.asarray(first, float)).mean()
        )
        for video in videos
    }
    names = (RenderedPart(0, "order", "test", 1).folder / "classes.txt").read_text().splitlines()
    shown = next(name for name in names if not name.startswith("#")).replace(" ", "_")
    assert min(distances, key=distances.__getitem__).name.startswith(shown)
