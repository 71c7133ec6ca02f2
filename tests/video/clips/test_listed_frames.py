from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.video import VideoReadError, VideoRecord, open_video
from ost_lightning.video.clips import listed_frames
from tests.videos import pictures, write_video


def test_the_first_frames_of_a_folder_as_the_list_says(tmp_path: Path) -> None:
    for k, picture in enumerate(pictures(6)):
        Image.fromarray(picture).save(tmp_path / f"{k}.png")
    with open_video(tmp_path) as video:
        for frames, expected in ((None, range(6)), (6, range(6)), (4, range(4))):
            assert listed_frames(video, VideoRecord(tmp_path, 0, "a", frames=frames)) == expected
        with pytest.raises(VideoReadError, match="the list has 7 frames for it, but the folder contains 6"):
            listed_frames(video, VideoRecord(tmp_path, 0, "a", frames=7))


def test_the_number_of_frames_of_a_file_is_its_own(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 6)
    with open_video(path) as video:
        assert listed_frames(video, VideoRecord(path, 0, "a", frames=5)) == range(6)
        assert listed_frames(video, VideoRecord(path, 0, "a", 0.04, 0.12, frames=5)) == range(1, 3)
