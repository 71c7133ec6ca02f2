import gc
from pathlib import Path

import av
import numpy as np
import pytest

from ost_lightning.video import Box, CropSpec, VideoReadError, open_video, read_frames
from ost_lightning.video.decoding import packets
from ost_lightning.video.decoding.coded_stream import CodedStream
from tests.video.decoding.coded_files import written
from tests.videos import write_video


def make_unreadable(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    good = write_video(folder / "good.mp4").read_bytes()
    if kind == "missing":
        return path
    if kind == "audio":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path
    path.write_bytes({"empty": b"", "text": b"path label\n" * 50, "truncated": good[: len(good) // 2]}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "there is no such file"),
        ("empty", "not a readable video file (Invalid data found when processing input)"),
        ("text", "not a readable video file (Invalid data found when processing input)"),
        ("truncated", "not a readable video file (Invalid data found when processing input)"),
        ("audio", "the file has no video stream"),
    ],
)
def test_errors_name_unreadable_files(tmp_path: Path, kind: str, reason: str) -> None:
    path = make_unreadable(kind, tmp_path)
    with pytest.raises(VideoReadError) as caught:
        read_frames(path, [0])
    assert str(caught.value) == f"{path}: {reason}"
    assert "\n" not in str(caught.value)


def test_errors_name_a_damaged_stream(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.ts", 50, options={"g": "10", "bf": "0"})
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    start = packets[30].pos
    data[start + 400 : packets[45].pos] = b"\xff" * (packets[45].pos - start - 400)
    broken = tmp_path / "broken.ts"
    broken.write_bytes(data)
    with pytest.raises(VideoReadError, match=r"broken\.ts"):
        read_frames(broken, range(40), short_side=None)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_files_are_closed(folder: Path) -> None:
    path = write_video(folder / "closed.mp4")
    opened = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        read_frames(path, [0, 5])
        with pytest.raises(VideoReadError):
            read_frames(path, [99])
    assert len(list(Path("/proc/self/fd").iterdir())) <= opened


@pytest.mark.parametrize(("name", "kept"), [("h264.mp4", 1 << 20), ("h264.mp4", 0), ("mpeg4_b_frames.avi", 1 << 20)])
def test_memory_is_freed_without_the_garbage_collector(
    folder: Path, name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "KEPT_BYTES", kept)
    path = written(folder, name)

    def read() -> None:
        with open_video(path) as video:
            video.read([9, 3])
            video.read_crops([9, 3], 20, lambda height, width: CropSpec((Box(0, 0, 16, 16),), 16))

    read()  # fills caches and imports modules
    gc.collect()
    gc.disable()
    try:
        read()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_errors_count_the_missing_frames_of_a_truncated_mp4(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, container={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(VideoReadError, match=r"cut off: no frame can be decoded"):
        read_frames(path, [0])


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 4)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    with pytest.raises(VideoReadError, match="there is no decoder for the video's codec"):
        read_frames(path, [0])


def test_a_damaged_stream_without_times_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", 5)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\0\0\1\x65")])  # the headers alone
    with pytest.raises(VideoReadError, match=r"the file is cut off or damaged: no frame can be decoded \("):
        read_frames(path, [0])


def test_a_stream_without_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoReadError, match="no frame can be decoded"):
        read_frames(path, [0])


def test_a_file_that_changes_while_it_is_read_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "KEPT_BYTES", 0)
    path = tmp_path / "a.mp4"
    path.write_bytes(written(folder, "h264.mp4").read_bytes())
    with open_video(path) as video:
        write_video(path, 30, seed=3, options={"g": "5"})
        with pytest.raises(VideoReadError, match=r"can be decoded \(the file has changed while it was read\)"):
            video.read([20])


def test_packets_are_only_dropped_if_the_file_can_be_opened_again(folder: Path) -> None:
    with av.open(str(written(folder, "h264.mp4"))) as container:
        stream = CodedStream(container)
        stream._packets._packets[0] = packets.PacketHeader(True, 9, 0)
        with pytest.raises(RuntimeError, match="only dropped from memory if the container can be reopened"):
            list(stream.frames([0]))


def test_the_repr_of_a_video_describes_it(folder: Path) -> None:
    path = written(folder, "h264.mp4")
    with open_video(path) as video:
        assert repr(video) == f"VideoReader({path}, 30 frames, 64 x 48, h264)"
