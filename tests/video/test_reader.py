import pickle
import random
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.video import VideoReader, VideoReadError, read_frames
from tests.videos import decode_all, write_video

VARIABLE = [0, 3, 5, 11, 12, 13, 30, 31, 33, 60, 61, 70, 100, 101, 102, 103, 150, 151, 155, 160]
FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264_short_gop.mp4": {"options": {"g": "6", "bf": "2"}},
    "h264_open_gop.mkv": {"options": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-pyramid=normal"}},
    "h264_in_avi.avi": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10", "lag-in-frames": "8", "auto-alt-ref": "1"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=8"}},
    "odd.mp4": {"width": 67, "height": 45, "pixels": "yuv444p"},
    "one_frame.mp4": {"count": 1},
    "variable.mp4": {"count": len(VARIABLE), "ticks": VARIABLE},
    "variable.webm": {"codec": "libvpx-vp9", "count": len(VARIABLE), "ticks": VARIABLE},
    "rotated.mp4": {"rotate": 90},
    "upside_down.mp4": {"rotate": 180},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.mark.parametrize("name", FILES)
def test_frames_are_those_of_a_full_decode(folder: Path, name: str) -> None:
    path = write_video(folder / name, **{"count": 30, **FILES[name]})
    reference = torch.from_numpy(decode_all(path))
    with VideoReader(path) as video:
        assert len(video) == len(reference)
        assert torch.equal(video.read(range(len(video))), reference)
    rng = random.Random(name)
    for _ in range(5):
        chosen = [rng.randrange(len(reference)) for _ in range(rng.randint(1, 8))]
        assert torch.equal(read_frames(path, chosen, short_side=None), reference[chosen])


def test_rotated_video_is_upright(folder: Path) -> None:
    plain = write_video(folder / "plain.mp4")
    turned = write_video(folder / "turned.mp4", rotate=90)
    upright = read_frames(turned, [3], short_side=None)
    assert upright.shape == (1, 3, 64, 48)
    # the matrix says that the picture is to be turned clockwise by 90 degrees
    assert torch.equal(upright, torch.rot90(read_frames(plain, [3], short_side=None), -1, (2, 3)))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=st.lists(st.integers(0, 29), min_size=1, max_size=12))
def test_any_order_and_repetition(folder: Path, indices: list[int]) -> None:
    path = folder / "order.mp4"
    if not path.exists():
        write_video(path, options={"g": "7", "bf": "2"})
    everything = read_frames(path, range(30))
    assert torch.equal(read_frames(path, torch.tensor(indices)), everything[indices])


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 48), (42, 32)), ((48, 64), (32, 42)), ((33, 33), (32, 32)), ((320, 41), (249, 32))]
)
def test_short_side_keeps_the_aspect(folder: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    path = write_video(folder / f"{size[0]}x{size[1]}.mp4", 3, width=size[0], height=size[1], pixels="yuv444p")
    frames = read_frames(path, [0, 2], short_side=32)
    assert frames.dtype == torch.uint8
    assert frames.shape == (2, 3, expected[1], expected[0])


def test_resized_frames_resemble_the_original(folder: Path) -> None:
    path = write_video(folder / "large.mp4", 2, width=256, height=192)
    small = read_frames(path, [1], short_side=48).float()
    original = read_frames(path, [1], short_side=None).float()
    reference = torch.nn.functional.interpolate(original, size=(48, 64), mode="area")
    assert float((small - reference).abs().mean()) < 6


def test_spans_in_seconds(folder: Path) -> None:
    with VideoReader(write_video(folder / "span.mp4", 30)) as video:
        assert video.span() == range(30)
        assert video.span(0.4, 0.8) == range(10, 20)
        assert video.span(1.0) == range(25, 30)
        with pytest.raises(VideoReadError, match=r"no frame between 5 s and 6 s: the last one is at 1\.16 s"):
            video.span(5, 6)


def test_span_follows_a_variable_rate(folder: Path) -> None:
    with VideoReader(write_video(folder / "vspan.mp4", len(VARIABLE), ticks=VARIABLE)) as video:
        assert video.span(0.3, 1.0) == range(VARIABLE.index(30), VARIABLE.index(100))


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


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "audio"])
def test_what_is_no_video_is_named(tmp_path: Path, kind: str) -> None:
    path = make_unreadable(kind, tmp_path)
    with pytest.raises(VideoReadError) as caught:
        read_frames(path, [0])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cut_off_stream_tells_what_is_readable(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("index", [-1, 30, 1000])
def test_frames_that_do_not_exist(folder: Path, index: int) -> None:
    path = write_video(folder / "range.mp4")
    with pytest.raises(VideoReadError, match=rf"frame {index} does not exist: the video has 30 frames"):
        read_frames(path, [0, index])


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(VideoReadError("a.mp4", "broken")))  # noqa: S301  # our own bytes
    assert (str(error), error.reason) == ("a.mp4: broken", "broken")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_files_are_closed(folder: Path) -> None:
    path = write_video(folder / "closed.mp4")
    opened = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        read_frames(path, [0, 5])
        with pytest.raises(VideoReadError):
            read_frames(path, [99])
    assert len(list(Path("/proc/self/fd").iterdir())) <= opened
