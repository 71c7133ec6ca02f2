import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from ost_lightning.video import VideoReadError, VideoRoot, open_video, read_frames
from tests.videos import pictures, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve frames whose names sort wrongly as text, and a file that is not a picture."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for k, picture in enumerate(pictures(12)):
        Image.fromarray(picture).save(folder / f"img_{k}.jpg", quality=97, subsampling=0)
    (folder / "times.txt").write_text("x")
    return folder


@pytest.mark.parametrize("name", [b"caf\xe9", "x²3_".encode()], ids=ascii)
def test_folders_and_frames_may_have_any_name(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.mkdir()
    for k, picture in enumerate(pictures(11)):
        Image.fromarray(picture).save(path / os.fsdecode(name + b"%d.png" % k))
    assert torch.equal(read_frames(path, [10, 2], None), torch.from_numpy(pictures(11)[[10, 2]]).permute(0, 3, 1, 2))


def test_frames_are_ordered_by_their_numbers(folder: Path) -> None:
    frames = read_frames(folder, [11, 2, 2], short_side=None)
    expected = torch.from_numpy(pictures(12)).permute(0, 3, 1, 2)[[11, 2, 2]]
    assert float((frames.float() - expected.float()).abs().mean()) < 4
    with open_video(folder) as video:
        assert (len(video), video.width, video.height, video.codec) == (12, 64, 48, "mjpeg")
        assert video.span() == range(12)
    assert read_frames(folder, [0], short_side=24).shape == (1, 3, 24, 32)


def test_lossless_frames_are_exact(tmp_path: Path) -> None:
    for k, picture in enumerate(pictures(3)):
        Image.fromarray(picture).save(tmp_path / f"{k:05d}.png")
    expected = torch.from_numpy(pictures(3)).permute(0, 3, 1, 2)
    assert torch.equal(read_frames(tmp_path, range(3), short_side=None), expected)


def test_a_list_may_name_the_video_instead_of_its_frame_folder(folder: Path) -> None:
    address = VideoRoot(folder.parent).locate("clip.avi")
    assert torch.equal(read_frames(address, [5]), read_frames(folder, [5]))


def test_a_file_is_read_although_a_folder_beside_it_has_its_name(folder: Path) -> None:
    write_video(folder.parent / "clip.mp4", 3, width=32, height=16)
    with open_video(folder.parent / "clip.mp4") as video:
        assert (len(video), video.width, video.height) == (3, 32, 16)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "is not a picture"), (b"not a picture", "can't be read"), (None, "can't be read")]
)
def test_errors_name_damaged_frames(folder: Path, data: bytes | None, reason: str) -> None:
    original = (folder / "img_4.jpg").read_bytes()
    (folder / "img_4.jpg").write_bytes(original[: len(original) // 2] if data is None else data)
    assert len(read_frames(folder, [3, 5])) == 2
    with pytest.raises(VideoReadError, match=rf"clip: the frame img_4\.jpg {reason}"):
        read_frames(folder, [3, 4])


def test_missing_frames_and_times_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoReadError, match="empty: the folder contains no frames"):
        read_frames(tmp_path / "empty", [0])
    with pytest.raises(VideoReadError, match="frame 12 does not exist: the video has 12 frames"):
        read_frames(folder, [12])
    with open_video(folder) as video, pytest.raises(VideoReadError, match="has no times"):
        video.span(1.0)
