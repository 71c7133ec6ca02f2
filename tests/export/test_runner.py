"""The exported program reads exactly the pixels that the suite reads."""

import json
import shutil
from dataclasses import asdict
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ost_lightning.evaluation import ClipSettings, evaluation_clips
from ost_lightning.export import exported_folder
from ost_lightning.export.parity import load_runner
from ost_lightning.video import SampleKey, VideoRecord
from tests.videos import write_video

SETTINGS = [
    ClipSettings(frames=4, short_side=55, crop_size=48),
    ClipSettings(frames=4, short_side=48, crop_size=48, views=2),
    ClipSettings(frames=3, short_side=55, crop_size=42, crop_offsets="floor", resize="bilinear"),
    ClipSettings(frames=20, short_side=50, crop_size=47),
    ClipSettings(frames=4, short_side=48, crop_size=48, framing="squash"),
]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)], ids=str)
def test_pixels_are_those_of_the_suite(tmp_path: Path, rotate: int, aspect: Fraction) -> None:
    shutil.copy(Path(exported_folder.__file__).with_name("runner.py"), tmp_path)
    for (width, height), settings in product([(64, 48), (90, 122), (48, 48)], SETTINGS):
        video = tmp_path / f"{width}.mp4"
        if not video.exists():
            write_video(video, 13, width=width, height=height, rotate=rotate, aspect=aspect)
        clips = settings.resolved()
        crop = exported_folder.crop_settings(clips)
        (tmp_path / "export.json").write_text(json.dumps({"frames": clips.frames, "views": clips.views, "crop": crop}))
        suite = evaluation_clips([VideoRecord(video, 0, "x")], clips)[SampleKey(0, 0)]
        found = load_runner(tmp_path).read_clip(video)
        np.testing.assert_array_equal(found, suite.frames.numpy(), f"{width} x {height}, {asdict(clips)}")
