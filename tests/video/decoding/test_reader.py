import gc
import pickle
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate

from ost_lightning.video import Box, CropSpec, VideoReader, VideoReadError, open_video, read_frames
from ost_lightning.video.decoding import packets
from tests.videos import copy_stream, decode_all, pictures, without_reorder_depth, write_video

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
    "h264.ts": {"options": {"g": "9", "bf": "2"}},
    "h264_pyramid.mp4": {"options": {"g": "20", "bf": "3", "x264-params": "b-pyramid=strict:b-adapt=0"}},
    "h264_slices.mkv": {"options": {"g": "8", "bf": "2", "slices": "3"}},
    "h264_refresh.mp4": {"options": {"g": "8", "bf": "0", "intra-refresh": "1"}},
    "h264_baseline.mp4": {"options": {"profile": "baseline"}},
    "h264_interlaced.mp4": {"options": {"x264-params": "tff=1:keyint=10:bframes=2"}},
    "h264_10_bit.mp4": {"pixels": "yuv420p10le"},
    "h264_444.mp4": {"pixels": "yuv444p", "width": 61, "height": 47},
    "hevc_layers.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=12:bframes=3:temporal-layers=3:b-adapt=0"},
    },
    "hevc_10_bit.mkv": {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
    "av1_10_bit.mkv": {"codec": "libsvtav1", "pixels": "yuv420p10le", "options": {"svtav1-params": "keyint=10"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "12", "lag-in-frames": "8", "auto-alt-ref": "1"}},
    "mpeg1.mpg": {"codec": "mpeg1video", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "g": "9"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "9"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "msmpeg4.avi": {"codec": "msmpeg4"},
    "h264_b_frames.avi": {"options": {"bf": "2", "g": "9"}},
    "one_frame.mp4": {"count": 1},
    "variable.mp4": {"count": len(VARIABLE), "ticks": VARIABLE},
    "variable.webm": {"codec": "libvpx-vp9", "count": len(VARIABLE), "ticks": VARIABLE},
    "rotated.mp4": {"rotate": 90},
    "upside_down.mp4": {"rotate": 180},
}


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        write_video(path, **{"count": 30, **FILES[name]})
    return path


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


DISCARDED = ("h264.mp4", "h264.ts", "h264_pyramid.mp4", "h264_slices.mkv", "h264_interlaced.mp4", "hevc.mp4")
DISCARDED += ("hevc_layers.mp4", "mpeg2.mpg", "mpeg2.ts", "mpeg1.mpg", "mpeg4.mp4", "mpeg4_b_frames.avi")


@pytest.mark.parametrize("name", DISCARDED)
def test_nothing_depends_on_what_is_left_out(folder: Path, name: str) -> None:
    path = folder / f"discarded_{name}"
    if not path.exists():
        write_video(path, **{"count": 40, **FILES[name]})
    reference = torch.from_numpy(decode_all(path))
    with VideoReader(path) as video:
        stream = video._stream
        left_out = [place for place in stream.presentation_order if not stream._is_needed(place)]
        assert left_out
        # decode with all of them left out, and with all but one
        for spared in (None, *left_out[:: max(1, len(left_out) // 4)]):
            kept = [k for k, place in enumerate(stream.presentation_order) if place not in left_out or place == spared]
            assert torch.equal(video.read(kept), reference[kept])


@pytest.mark.parametrize("name", ["vp9.webm", "vp8.webm", "av1.mkv", "h264_baseline.mp4", "mjpeg.avi", "msmpeg4.avi"])
def test_everything_is_decoded_where_leaving_out_is_not_exact(folder: Path, name: str) -> None:
    path = folder / f"kept_{name}"
    write_video(path, **{"count": 20, **FILES[name]})
    with VideoReader(path) as video:
        assert all(video._stream._is_needed(place) for place in video._stream.presentation_order)


def test_two_pictures_in_one_packet(tmp_path: Path) -> None:
    """DivX's way to put B frames into AVI: the picture and the B picture before it in one packet, then a dummy."""
    plain = write_video(tmp_path / "plain.avi", 31, codec="mpeg4", options={"bf": "1", "g": "100", "sc_threshold": "0"})
    with av.open(str(plain)) as container:
        stream = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        extradata = stream.codec_context.extradata or b""
    is_b = [packet[packet.index(b"\0\0\1\xb6") + 4] >> 6 == 2 for packet in packets]
    assert sum(is_b) > 5
    packed = []
    for k, packet in enumerate(packets):
        if is_b[k]:
            packed.append(b"\0\0\1\xb6\x51\x00")
        else:
            follower = packets[k + 1] if k + 1 < len(packets) and is_b[k + 1] else b""
            mark = b"\0\0\1\xb2DivX503b1393p" if k == 0 else b""
            packed.append(mark + packet + follower)
    path = tmp_path / "packed.avi"
    with av.open(str(path), "w") as container:
        copy = container.add_stream("mpeg4", rate=25)
        copy.width, copy.height, copy.codec_context.extradata = 64, 48, extradata
        for k, data in enumerate(packed):
            one = av.Packet(data)
            one.stream, one.pts, one.dts, one.time_base, one.is_keyframe = copy, k, k, Fraction(1, 25), k == 0
            container.mux(one)
    reference = torch.from_numpy(decode_all(plain))
    assert torch.equal(read_frames(path, range(31), None), reference)
    assert torch.equal(read_frames(path, [17, 4, 30], None), reference[[17, 4, 30]])


def test_one_file_with_several_streams(tmp_path: Path) -> None:
    """The first video stream counts; sound and a second picture are passed over."""
    path = tmp_path / "several.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        sound.layout = "mono"
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(12):
            for seed, stream in enumerate(streams):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures(12, seed=seed)[k], format="rgb24")))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 8000, 320 * k
            container.mux(sound.encode(samples))
        for stream in (*streams, sound):
            container.mux(stream.encode(None))
    assert torch.equal(read_frames(path, range(12), None), torch.from_numpy(decode_all(path)))


def test_a_cover_is_not_the_video(tmp_path: Path) -> None:
    plain, path = write_video(tmp_path / "plain.mp4", 12), tmp_path / "cover.mp4"
    picture = av.VideoFrame.from_ndarray(pictures(1, seed=3)[0], format="rgb24").reformat(format="yuvj420p")
    with av.open(str(plain)) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = picture.width, picture.height, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux([*cover.encode(picture), *cover.encode(None)])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux(packet)
    # a program that writes tags may put them in front, which makes the cover the first stream
    data = path.read_bytes()
    start = data.index(b"moov") - 4
    moov, udta = data[start:], data[data.index(b"udta") - 4 :]
    assert moov.endswith(udta)
    movie_header = 8 + int.from_bytes(moov[8:12], "big")
    path.write_bytes(data[:start] + moov[:movie_header] + udta + moov[movie_header : -len(udta)])
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["mjpeg", "h264"]
    assert torch.equal(read_frames(path, range(12), None), read_frames(plain, range(12), None))


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", 4, aspect=Fraction(4, 3))
    assert read_frames(path, [1], None).shape == (1, 3, 48, 85)
    assert read_frames(path, [1], 24).shape == (1, 3, 24, 42)
    with open_video(path, sample_aspect=False) as video:
        assert torch.equal(video.read([1]), torch.from_numpy(decode_all(path))[1:2])


def test_frames_by_time(folder: Path) -> None:
    with VideoReader(write_video(folder / "times.mp4", len(VARIABLE), ticks=VARIABLE)) as video:
        assert video.indices_at([0, 0.04, 0.05, 1.0, 99]) == [0, 1, 2, VARIABLE.index(100), len(VARIABLE) - 1]
        with pytest.raises(VideoReadError, match=r"no frame is shown at -0\.1 s"):
            video.indices_at([0.1, -0.1])


@pytest.mark.parametrize("name", ["mpeg4.mp4", "h264.avi", "mpeg4.avi"])
def test_the_time_of_a_frame_names_it(tmp_path: Path, name: str) -> None:
    """Times are rounded as k / rate is, not as k times a rounded unit."""
    path = write_video(tmp_path / name, 120, codec="mpeg4" if name.startswith("mpeg4") else "libx264")
    with VideoReader(path) as video:
        assert video.indices_at([k / 25 for k in range(120)]) == list(range(120))


def test_stream_that_starts_late_counts_from_its_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.ts", 20, ticks=[1000 + 4 * k for k in range(20)])
    with VideoReader(path) as video:
        assert video.indices_at([0.0, 0.081]) == [0, 2]
        assert torch.equal(video.read(range(20)), torch.from_numpy(decode_all(path)))


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_streams_that_do_not_tell_how_far_they_reorder(tmp_path: Path, container: str) -> None:
    """FFmpeg's default finds it out by losing pictures that come too late."""
    options = {"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}
    whole = write_video(tmp_path / "whole.mp4", 20, options=options)
    path = copy_stream(whole, tmp_path / f"untold.{container}", extradata=without_reorder_depth)
    reference = torch.from_numpy(decode_all(whole))
    with VideoReader(path) as video:
        assert len(video) == 20
        assert torch.equal(video.read(range(20)), reference)
    for index in range(20):
        assert torch.equal(read_frames(path, [index], None), reference[[index]])


def test_edit_list_hides_the_pictures_before_it(tmp_path: Path) -> None:
    """Negative times, as a cut without encoding leaves them: a player decodes those pictures and does not show them."""
    whole = write_video(tmp_path / "whole.mp4", 40, options={"g": "50", "bf": "2"})
    hidden = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    path = copy_stream(whole, tmp_path / "edited.mp4", shift=-7, container=hidden)
    reference = torch.from_numpy(decode_all(path))
    assert torch.equal(reference, torch.from_numpy(decode_all(whole))[7:])
    with VideoReader(path) as video:
        assert torch.equal(video.read(range(33)), reference)
        assert torch.equal(video.read([20, 0]), reference[[20, 0]])
        assert video.indices_at([0.0, 0.05]) == [0, 1]
        with pytest.raises(VideoReadError, match="33 frames"):
            video.read([33])


def test_stream_cut_between_keyframes(tmp_path: Path) -> None:
    """As a recording begins: only what a player shows counts."""
    whole = write_video(tmp_path / "whole.ts", 40, options={"g": "10", "bf": "2"})
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    path = tmp_path / "cut.ts"
    data = whole.read_bytes()
    path.write_bytes(data[: 188 * 3] + data[packets[14].pos :])
    reference = torch.from_numpy(decode_all(path))
    assert len(reference) < 30
    assert torch.equal(read_frames(path, range(len(reference)), None), reference)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.parametrize("source", ["x264.mp4", "folder"])
def test_resize_filters_are_those_named(tmp_path: Path, source: str) -> None:
    edges = np.kron(np.random.default_rng(0).integers(40, 210, (3, 6, 8, 1)), np.ones((1, 8, 8, 3))).astype(np.uint8)
    path = write_video(tmp_path / "x264.mp4", 3, shots=edges, options={"crf": "0"})
    original = torch.from_numpy(decode_all(path).copy()).float()
    if source == "folder":
        path = tmp_path / "frames"
        path.mkdir()
        for k, picture in enumerate(original.byte()):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path / f"{k}.png")
    expected = {mode: interpolate(original, (120, 160), mode=mode) for mode in ("bilinear", "bicubic")}
    for mode, other in (("bilinear", "bicubic"), ("bicubic", "bilinear")):
        with open_video(path, resize=mode) as video:
            whole = video.read(range(3), 120).float()
            squares = video.read_crops(range(3), 120, lambda height, width: CropSpec((Box(0, 40, 120, 120),), 120))
        for found, box in ((whole, slice(None)), (squares[0].float(), slice(40, 160))):
            error, others = ((found - expected[name][..., box]).abs().mean() for name in (mode, other))
            assert error < 0.8 * others


@pytest.mark.parametrize("kept", [0, 3000])
@pytest.mark.parametrize("name", FILES)
def test_packets_that_are_not_kept_are_read_again(
    folder: Path, name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "KEPT_BYTES", kept)
    path = written(folder, name)
    whole = torch.from_numpy(decode_all(path))
    with VideoReader(path) as video:
        assert len(video) == len(whole)
        last = len(whole) - 1
        for indices in ([last // 2, last // 9, last // 9], [last], [0, last // 3], list(range(len(whole)))):
            assert torch.equal(video.read(indices), whole[indices])


@pytest.mark.slow
def test_a_large_file_takes_no_more_memory_than_what_is_kept(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 480, 640, 3), dtype=np.uint8)
    large = {"width": 640, "height": 480, "options": {"qp": "1", "g": "10", "preset": "ultrafast"}}
    path = write_video(tmp_path / "noise.mp4", 400, shots=np.concatenate([noise] * 10), **large)
    assert path.stat().st_size > 160e6
    reading = f"""
from pathlib import Path
from ost_lightning.video import VideoReader
from ost_lightning.video.decoding import packets
packets.KEPT_BYTES = {{kept}}
def peak():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
before = peak()
with VideoReader({str(path)!r}) as video:
    video.read([5, 205, 395], 64)
print(peak() - before)
"""
    taken = [
        float(subprocess.run([sys.executable, "-c", reading.format(kept=kept)], capture_output=True, check=True).stdout)
        for kept in (20 << 20, 1 << 30)
    ]
    assert taken[1] > 160
    assert taken[0] < 80


def test_resized_frames_resemble_the_original(folder: Path) -> None:
    path = write_video(folder / "large.mp4", 2, width=256, height=192)
    small = read_frames(path, [1], short_side=48).float()
    original = read_frames(path, [1], short_side=None).float()
    reference = torch.nn.functional.interpolate(original, size=(48, 64), mode="area")
    assert float((small - reference).abs().mean()) < 6


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)])
def test_a_part_is_what_is_cut_out_of_the_whole(folder: Path, rotate: int, aspect: Fraction) -> None:
    ramps = np.zeros((4, 120, 160, 3), np.uint8)  # red tells the column, green the row
    ramps[..., 0], ramps[..., 1] = np.linspace(30, 220, 160), np.linspace(30, 220, 120)[:, None]
    path = folder / f"part{rotate}{aspect.numerator}.mp4"
    write_video(path, width=160, height=120, rotate=rotate, aspect=aspect, shots=ramps, options={"crf": "5"})
    seen: list[tuple[int, int]] = []

    def cut(height: int, width: int) -> CropSpec:
        seen.append((height, width))
        return CropSpec((Box(8, 4, 48, 48), Box(height - 40, width - 56, 40, 56)), 48)

    with VideoReader(path) as video:
        whole = video.read([3, 1], 96)
        parts = video.read_crops([3, 1], 96, cut)
    assert seen == [tuple(whole.shape[2:])]
    assert parts.shape == (2, 2, 3, 48, 48)
    corner = whole[..., -40:, -56:].float()
    resized = torch.nn.functional.interpolate(corner, (48, 48), mode="bicubic", antialias=True)
    for part, expected in ((parts[0], whole[..., 8:56, 4:52].float()), (parts[1], resized)):
        # to within a pixel, which is one step of the ramps
        assert float((part.float() - expected).abs().mean()) < 2
        assert float((part.float() - expected).abs().max()) < 15


def test_an_unscaled_part_is_cut_exactly_and_mirrored(folder: Path) -> None:
    path = write_video(folder / "exact.mp4", 4)
    with VideoReader(path) as video:
        whole = video.read([2])
        part = video.read_crops([2], 48, lambda height, width: CropSpec((Box(7, 5, 32, 32),), 32, flip=True))
    assert torch.equal(part[0], whole[..., 7:39, 5:37].flip(-1))


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


@pytest.mark.parametrize(("name", "kept"), [("h264.mp4", 1 << 20), ("h264.mp4", 0), ("mpeg4_b_frames.avi", 1 << 20)])
def test_nothing_of_a_video_waits_for_the_garbage_collector(
    folder: Path, name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "KEPT_BYTES", kept)
    path = written(folder, name)

    def read() -> None:
        with open_video(path) as video:
            video.read([9, 3])
            video.read_crops([9, 3], 20, lambda height, width: CropSpec((Box(0, 0, 16, 16),), 16))

    read()  # imports and caches
    gc.collect()
    gc.disable()
    try:
        read()
        assert gc.collect() == 0
    finally:
        gc.enable()
