"""Reading of long videos in one pass."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ost_lightning.video import CropSpec, VideoReadError, open_video
from ost_lightning.video.decoding import Box, DamagedPart, FrameSource, stream_readable
from tests.videos import damage_packets, pictures, write_video

GOP = {"g": "10", "keyint_min": "10", "sc_threshold": "0", "bf": "2"}


def whole(height: int, width: int) -> CropSpec:
    side = min(height, width)
    return CropSpec((Box(0, 0, height, width), Box(height - side, 0, side, side)), 16)


def read_around(video: FrameSource, indices: Iterable[int]) -> tuple[dict[int, Tensor], list[DamagedPart]]:
    frames: dict[int, Tensor] = {}
    parts = []
    for item in stream_readable(video, indices, 16, whole):
        if isinstance(item, DamagedPart):
            parts.append(item)
        else:
            assert item[0] not in frames
            frames[item[0]] = item[1]
    return frames, parts


@pytest.mark.parametrize("rotate", [0, 90])
def test_frames_equal_those_of_sparse_reading(tmp_path: Path, rotate: int) -> None:
    file = write_video(tmp_path / "long.mp4", 60, options=GOP, rotate=rotate)
    indices = [57, *range(0, 60, 7), 3, 3]
    with open_video(file) as video:
        expected = video.read_crops(indices, 16, whole)
        frames, parts = read_around(video, indices)
    assert not parts
    assert sorted(frames) == sorted(set(indices))
    for place, index in enumerate(indices):
        assert torch.equal(frames[index], expected[:, place])


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_damaged_part_in_the_middle_is_left_out(tmp_path: Path, stride: int, suffix: str) -> None:
    good = write_video(tmp_path / f"good{suffix}", 60, options=GOP)
    with open_video(good) as video:
        expected, _ = read_around(video, range(0, 60, stride))
    with open_video(damage_packets(good, [20, 40, 43])) as video:
        frames, parts = read_around(video, range(0, 60, stride))
    lost = sorted(index for part in parts for index in part.indices)
    assert lost
    assert set(lost) <= {*range(20, 30), *range(40, 50)}
    assert sorted([*frames, *lost]) == list(range(0, 60, stride))
    assert all(part.reason for part in parts)
    for index, crops in frames.items():
        assert torch.equal(crops, expected[index])


def test_frames_before_the_damage_in_a_group_of_pictures_are_read(tmp_path: Path) -> None:
    options = GOP | {"bf": "0"}
    with open_video(damage_packets(write_video(tmp_path / "good.mp4", 60, options=options), [25])) as video:
        frames, parts = read_around(video, range(60))
    assert sorted(frames) == [*range(25), *range(30, 60)]
    assert [part.indices for part in parts] == [tuple(range(25, 30))]


def test_many_damaged_parts_are_not_decoded_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_video(tmp_path / "good.mp4", 100, options=GOP)
    fed = 0
    with open_video(damage_packets(good, range(10, 100, 10))) as video:
        fetch = video._stream._packets.fetch  # type: ignore[attr-defined]

        def counted(positions: Iterable[int]) -> Iterable[object]:
            nonlocal fed
            for packet in fetch(positions):
                fed += 1
                yield packet

        monkeypatch.setattr(video._stream._packets, "fetch", counted)  # type: ignore[attr-defined]
        frames, parts = read_around(video, range(100))
    assert set(frames) >= set(range(8))
    assert len(parts) == 9
    assert fed < 150


def test_a_damaged_picture_of_a_folder_is_left_out(tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(6)):
        Image.fromarray(np.asarray(picture)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    with open_video(tmp_path) as video:
        frames, parts = read_around(video, range(6))
    assert sorted(frames) == [0, 1, 2, 4, 5]
    assert [part.indices for part in parts] == [(3,)]
    assert "3.png" in parts[0].reason


def test_a_frame_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with (
        open_video(write_video(tmp_path / "short.mp4", 4)) as video,
        pytest.raises(VideoReadError, match="frame 9 does not exist: the video has 4 frames"),
    ):
        list(video.stream_crops([1, 9], 16, whole))
