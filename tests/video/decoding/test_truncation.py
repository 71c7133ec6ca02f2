import re
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from ost_lightning.video import VideoReader, VideoReadError, read_frames
from ost_lightning.video.decoding.truncation import promised_bytes
from tests.video.decoding.coded_files import assert_shows, decoded
from tests.videos import write_video

FRAMES = 12


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.avi"])
def test_headers_contain_the_length(tmp_path: Path, name: str) -> None:
    settings = {"codec": "libvpx-vp9"} if name.endswith("webm") else {}
    data = write_video(tmp_path / name, 10, **settings).read_bytes()
    assert promised_bytes(data[:256]) == len(data)
    for length in range(60):
        assert promised_bytes(data[:length]) in (0, len(data))
    path = tmp_path / f"cut_{name}"
    path.write_bytes(data[:-200])
    with pytest.raises(
        VideoReadError, match=r"cut_.*: the file is cut off: 200 bytes are missing; only the first \d (of 10 )?fr"
    ):
        read_frames(path, [0])


def length_of(tag: bytes, value: Callable[[int], int]) -> Callable[[bytearray], None]:
    """Returns an edit of the length of the RIFF chunk or list with a tag."""

    def edit(data: bytearray) -> None:
        start = data.index(tag) + (4 if tag == b"RIFF" else -4)
        old = int.from_bytes(data[start : start + 4], "little")
        data[start : start + 4] = value(old).to_bytes(4, "little")

    return edit


def no_frame_count(data: bytearray) -> None:
    for tag, offset in ((b"avih", 24), (b"strh", 40)):
        start = data.index(tag) + offset
        data[start : start + 4] = bytes(4)


def no_index(data: bytearray) -> None:
    del data[data.index(b"idx1") :]


LENGTHS: dict[str, Callable[[int], int]] = {
    "zero": lambda length: 0,
    "unknown": lambda length: 0xFFFFFFFF,
    "too long": lambda length: length + 999,
    "too short": lambda length: length - 999,
    "half": lambda length: length // 2,
}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("codec", ["mpeg4", "libx264", "mjpeg"])
def test_avi_with_wrong_lengths_and_all_frames_is_read(folder: Path, tmp_path: Path, codec: str, length: str) -> None:
    whole = folder / f"whole_{codec}.avi"
    if not whole.exists():
        write_video(whole, FRAMES, codec=codec, pixels="yuvj420p" if codec == "mjpeg" else "yuv420p")
    reference = decoded(whole)
    riff, movie = (length_of(tag, LENGTHS[length]) for tag in (b"RIFF", b"movi"))
    more = [[riff, movie, no_frame_count]] if length in ("zero", "unknown") else []
    for edits in ([riff], [movie], [riff, movie], [riff, no_frame_count], [riff, no_index], *more):
        data = bytearray(whole.read_bytes())
        for edit in edits:
            edit(data)
        path = tmp_path / "edited.avi"
        path.write_bytes(data)
        assert_shows(path, reference)


class Pipe:
    """A file that can't be rewound."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += bytes(data)
        return len(data)


def piped(source: Path, path: Path, container: str) -> Path:
    """Copies a video's packets to a file whose writer can't go back to fill in lengths."""
    pipe = Pipe()
    with av.open(str(source)) as original, av.open(pipe, "w", format=container) as output:
        copy = output.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    path.write_bytes(pipe.data)
    return path


@pytest.mark.parametrize("suffix", ["avi", "mkv", "flv"])
def test_recordings_into_a_pipe(tmp_path: Path, suffix: str) -> None:
    source = write_video(tmp_path / f"a.{suffix}", FRAMES, options={"bf": "0"})
    path = piped(source, tmp_path / f"piped.{suffix}", {"mkv": "matroska"}.get(suffix, suffix))
    assert_shows(path, decoded(source))
    with av.open(str(path)) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: starts[7] + 25])
    with pytest.raises(VideoReadError, match="cut off") as caught:
        VideoReader(path)
    assert told(caught.value) == 7


def test_a_browser_recording_has_clusters_of_unknown_length(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.webm", FRAMES, codec="libvpx", options={"deadline": "realtime"})
    path = piped(source, tmp_path / "piped.webm", "webm")
    data = bytearray(path.read_bytes())
    cluster = data.index(b"\x1f\x43\xb6\x75") + 4
    width = 9 - data[cluster].bit_length()
    data[cluster : cluster + width] = (2 ** (7 * width + 1) - 1).to_bytes(width, "big")
    path.write_bytes(data)
    assert_shows(path, decoded(source))
    path.write_bytes(data[:-20])
    with pytest.raises(VideoReadError, match="cut off: only the first 11 frames can be decoded"):
        VideoReader(path)


def told(error: VideoReadError) -> int:
    """Number of frames that can be decoded, according to an error."""
    found = re.search(r"only the first (\d+ )?(?:of \d+ )?frames? can be decoded", str(error))
    assert found, error
    return int(found[1] or 1)


@pytest.mark.parametrize("name", ["a.avi", "b.avi", "a.mkv", "a.flv", "a.mp4"])
@pytest.mark.parametrize("damage", [None, "zero", "unknown", "too short"])
def test_a_cut_file_is_refused_with_the_number_of_its_frames(tmp_path: Path, name: str, damage: str | None) -> None:
    settings = {"options": {"bf": "0"}, "container": {"movflags": "faststart"} if name == "a.mp4" else {}}
    path = write_video(tmp_path / name, FRAMES, **(settings | ({"codec": "mpeg4"} if name == "b.avi" else {})))
    with av.open(str(path)) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    if damage is not None:
        if not name.endswith(".avi"):
            return
        length_of(b"RIFF", LENGTHS[damage])(data)
    for frames in (9, 4, 1):
        path.write_bytes(data[: starts[frames] + 25])
        with pytest.raises(VideoReadError, match=re.escape(f"{path}: the file is cut off")) as caught:
            VideoReader(path)
        assert told(caught.value) == frames


def test_an_avi_that_ends_between_frames_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", FRAMES, codec="mpeg4")
    with av.open(str(path)) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for edit in (None, length_of(b"RIFF", LENGTHS["zero"]), length_of(b"RIFF", lambda length: 100)):
        if edit:
            edit(data)
        path.write_bytes(data[: starts[8]])
        with pytest.raises(VideoReadError, match=r"the file is cut off: only the first 8 of 12 frames can be decoded"):
            VideoReader(path)


def test_matroska_with_a_wrong_length_and_all_frames_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", FRAMES)
    reference, data = decoded(path), bytearray(path.read_bytes())
    start = data.index(b"\x18\x53\x80\x67") + 4
    assert data[start] == 1  # followed by seven bytes of length
    length = int.from_bytes(data[start + 1 : start + 8], "big")
    for wrong in (length + 999, length - 999, 0, 2**56 - 1):
        data[start + 1 : start + 8] = wrong.to_bytes(7, "big")
        path.write_bytes(data)
        assert_shows(path, reference)


def test_errors_count_the_frames_before_the_damage(tmp_path: Path) -> None:
    """Frames that the decoder holds back when it meets the damage can be decoded, too."""
    path = write_video(tmp_path / "a.mp4", 20, options={"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"})
    with av.open(str(path)) as container:
        damaged = [packet for packet in container.demux(video=0) if packet.size][9]
    data = bytearray(path.read_bytes())
    data[damaged.pos + 4 : damaged.pos + damaged.size] = b"\xff" * (damaged.size - 4)
    path.write_bytes(data)
    with pytest.raises(VideoReadError) as caught:
        read_frames(path, range(20))
    assert told(caught.value) == 9


def test_the_frames_that_count_are_those_from_the_first_one_on(tmp_path: Path) -> None:
    """The last packet of this file holds the last frame but one."""
    path = write_video(tmp_path / "a.avi", 30, codec="mpeg4", options={"bf": "2"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"idx1") - 60])
    with pytest.raises(VideoReadError, match="cut off") as caught:
        VideoReader(path)
    assert told(caught.value) == 28
