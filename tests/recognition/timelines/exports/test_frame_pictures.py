"""Small pictures of the frames on screen at given times."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ost_lightning.recognition.timelines.exports import frame_pictures
from ost_lightning.recognition.timelines.exports.frame_pictures import read_pictures
from tests.videos import decode_all, write_video


def test_each_picture_is_the_frame_at_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_pictures, "_AT_ONCE", 2)
    video = write_video(tmp_path / "x.mp4", 25, width=320, height=240)
    frames = decode_all(video)
    pictures = read_pictures(str(video), [0.0, 0.21, 0.5, 0.5, 0.99, 7.0])
    for picture, index in zip(pictures, (0, 5, 12, 12, 24, 24), strict=True):
        shown = np.asarray(Image.open(BytesIO(picture)).convert("RGB")).transpose(2, 0, 1)
        assert shown.shape == (3, 120, 160)
        reduced = frames[:, :, ::2, ::2].astype(int)
        assert int(np.argmin([abs(shown - frame).mean() for frame in reduced])) == index
        assert len(picture) < 20_000


def test_small_frames_keep_their_size(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", 2, width=64, height=48, rotate=90)
    (picture,) = read_pictures(str(video), [0.0])
    assert Image.open(BytesIO(picture)).size == (48, 64)


def test_a_video_that_cannot_be_read_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    assert read_pictures(str(tmp_path / "x.mp4"), [0.0]) == []
    assert read_pictures(str(tmp_path / "y.mp4"), [0.0]) == []
