"""Small pictures of the frames on screen at given times."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from ost_lightning.video.clips import frame_pictures
from ost_lightning.video.clips.frame_pictures import read_pictures
from tests.videos import decode_all, write_video


def test_each_picture_is_the_frame_at_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_pictures, "_AT_ONCE", 2)
    video = write_video(tmp_path / "x.mp4", 25, width=320, height=240)
    frames = decode_all(video)
    pictures = read_pictures(str(video), [0.0, 0.21, 0.5, 0.5, 0.99, 7.0])
    for picture, index in zip(pictures, (0, 5, 12, 12, 24, 24), strict=True):
        assert picture
        shown = np.asarray(Image.open(BytesIO(picture)).convert("RGB")).transpose(2, 0, 1)
        assert shown.shape == (3, 120, 160)
        reduced = frames[:, :, ::2, ::2].astype(int)
        assert int(np.argmin([abs(shown - frame).mean() for frame in reduced])) == index
        assert len(picture) < 20_000


def test_small_frames_keep_their_size(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", 2, width=64, height=48, rotate=90)
    (picture,) = read_pictures(str(video), [0.0])
    assert picture
    assert Image.open(BytesIO(picture)).size == (48, 64)


def test_damage_costs_only_the_damaged_frames(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", 75, options={"g": "25", "bf": "0", "sc_threshold": "0"})
    whole = read_pictures(str(video), [0.5, 1.5, 2.5])
    with av.open(str(video)) as container:
        packet = next(packet for packet in container.demux(video=0) if packet.pts == packet.duration * 25)
    data = bytearray(video.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    video.write_bytes(data)
    assert read_pictures(str(video), [0.5, 1.5, 2.5]) == [whole[0], None, whole[2]]


def test_a_video_that_cannot_be_opened_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    assert read_pictures(str(tmp_path / "x.mp4"), [0.0, 1.0]) == [None, None]
    assert read_pictures(str(tmp_path / "y.mp4"), [0.0]) == [None]
