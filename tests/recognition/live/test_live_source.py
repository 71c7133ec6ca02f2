from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.live import LiveSource, is_live


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", True),
        ("12", True),
        ("/dev/video3", True),
        ("rtsp://host/path", True),
        ("RTSP://host/path", True),
        ("udp://239.0.0.1:1234", True),
        ("srt://host:9000", True),
        ("https://host/live/index.m3u8?token=a", True),
        ("https://host/clip.mp4", False),
        ("https://host/m3u8", False),
        ("s3://bucket/clip.mp4", False),
        ("clip.mp4", False),
        ("list.m3u8", False),
        ("0.mp4", False),
        ("-", False),
        ("folder/0", False),
    ],
)
def test_addresses_that_can_only_be_live(source: str, expected: bool) -> None:
    assert is_live(source) is expected


def test_a_file_with_a_number_as_name_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("0").touch()
    assert not is_live("0")
    assert LiveSource.of("0").is_file


@pytest.mark.parametrize("source", ["987", "/dev/video987", 987])
def test_a_missing_camera_is_told(source: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UserError, match=r"no camera /dev/video987: found .*\. Connect one"):
        LiveSource.of(source)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match=r"nothing\.mp4: there is no such file.*number of a camera"):
        LiveSource.of("nothing.mp4")


def test_passwords_are_hidden() -> None:
    source = LiveSource.of("rtsp://me:secret@host/path?token=abc")
    assert "secret" in source.address
    assert "secret" not in repr(source)
    assert source.name == "rtsp://me:***@host/path?token=***"
