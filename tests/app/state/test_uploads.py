"""Files that are no videos, and videos that are unlike most."""

from pathlib import Path

import av
import numpy as np
import pytest

from ost_lightning.app.state.uploads import check_video, without_folder
from ost_lightning.errors import UserError
from tests.videos import write_video

LARGE = 10**9


def test_the_length_is_known_without_decoding(tmp_path: Path) -> None:
    assert check_video(write_video(tmp_path / "x.mp4", 100), LARGE) == pytest.approx(4)
    assert check_video(write_video(tmp_path / "one.mp4", 1), LARGE) == pytest.approx(0.04)


def write_sound(file: Path) -> Path:
    """Writes half a second of silence, without any picture."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])  # type: ignore[attr-defined]
    return file


def test_what_is_no_video_is_refused_without_its_folder(tmp_path: Path) -> None:
    text = tmp_path / "a 'b' & <c>.mp4"
    text.write_text("hello")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for file, message in (
        (text, "a 'b' & <c>.mp4 can't be used: "),
        (write_sound(tmp_path / "sound.mp4"), "sound.mp4 can't be used: "),
        (empty, "empty.mp4 is empty"),
        (tmp_path / "gone.mp4", "gone.mp4 is no longer there"),
    ):
        with pytest.raises(UserError) as raised:
            check_video(file, LARGE)
        assert str(raised.value).startswith(message)
        assert str(tmp_path) not in str(raised.value)


def test_a_video_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(bytes(2_000_001))
    with pytest.raises(UserError, match=r"x.mp4 has 2.0 MB: expected at most 1.5 MB"):
        check_video(file, 1_500_000)


def test_messages_name_videos_without_folders(tmp_path: Path) -> None:
    assert without_folder(f"{tmp_path / 'x.mp4'}: broken", tmp_path / "x.mp4") == "x.mp4: broken"
    assert without_folder("no video", None) == "no video"
