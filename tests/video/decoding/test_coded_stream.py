import os
import random
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition

from ost_lightning.video import VideoReader, VideoReadError, read_frames
from ost_lightning.video.decoding import coded_stream, packets
from ost_lightning.video.decoding.bitstream import parser_for
from tests.video.decoding.coded_files import FILES, assert_shows, decoded, remux, written
from tests.videos import copy_stream, decode_all, pictures, without_reorder_depth, write_video


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


DISCARDED = ("h264.mp4", "h264.ts", "h264_pyramid.mp4", "h264_slices.mkv", "h264_interlaced.mp4", "hevc.mp4")
DISCARDED += ("hevc_layers.mp4", "mpeg2.mpg", "mpeg2.ts", "mpeg1.mpg", "mpeg4.mp4", "mpeg4_b_frames.avi")


@pytest.mark.parametrize("name", DISCARDED)
def test_no_frame_depends_on_a_skipped_picture(folder: Path, name: str) -> None:
    path = folder / f"discarded_{name}"
    if not path.exists():
        write_video(path, **{"count": 40, **FILES[name]})
    reference = torch.from_numpy(decode_all(path))
    with VideoReader(path) as video:
        stream = video._stream
        order = stream.presentation_order
        skipped = [position for position in order if not stream._is_needed(position)]
        assert skipped
        # decode with all of them skipped, and with all but one
        for spared in (None, *skipped[:: max(1, len(skipped) // 4)]):
            kept = [k for k, position in enumerate(order) if position not in skipped or position == spared]
            assert torch.equal(video.read(kept), reference[kept])


@pytest.mark.parametrize("name", ["vp9.webm", "vp8.webm", "av1.mkv", "h264_baseline.mp4", "mjpeg.avi", "msmpeg4.avi"])
def test_every_picture_is_decoded_where_skipping_is_not_exact(folder: Path, name: str) -> None:
    path = folder / f"kept_{name}"
    write_video(path, **{"count": 20, **FILES[name]})
    with VideoReader(path) as video:
        assert all(video._stream._is_needed(position) for position in video._stream.presentation_order)


def test_two_pictures_in_one_packet(tmp_path: Path) -> None:
    """DivX stores B frames in AVI by packing a picture with the B picture before it, followed by a dummy packet."""
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
    """The first video stream is read; sound and a second video stream are ignored."""
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
    # a tag editor may move the cover to the front, which makes it the first stream
    data = path.read_bytes()
    start = data.index(b"moov") - 4
    moov, udta = data[start:], data[data.index(b"udta") - 4 :]
    assert moov.endswith(udta)
    movie_header = 8 + int.from_bytes(moov[8:12], "big")
    path.write_bytes(data[:start] + moov[:movie_header] + udta + moov[movie_header : -len(udta)])
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["mjpeg", "h264"]
    assert torch.equal(read_frames(path, range(12), None), read_frames(plain, range(12), None))


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_streams_without_their_reordering_depth(tmp_path: Path, container: str) -> None:
    """FFmpeg's default guesses the depth and drops pictures that arrive too late."""
    options = {"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}
    whole = write_video(tmp_path / "whole.mp4", 20, options=options)
    path = copy_stream(whole, tmp_path / f"unknown_depth.{container}", extradata=without_reorder_depth)
    reference = torch.from_numpy(decode_all(whole))
    with VideoReader(path) as video:
        assert len(video) == 20
        assert torch.equal(video.read(range(20)), reference)
    for index in range(20):
        assert torch.equal(read_frames(path, [index], None), reference[[index]])


def test_edit_list_hides_the_pictures_before_it(tmp_path: Path) -> None:
    """Cutting without re-encoding leaves pictures with negative times, which players decode but do not show."""
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
    """A recording may begin between keyframes: only the frames that a player shows count."""
    whole = write_video(tmp_path / "whole.ts", 40, options={"g": "10", "bf": "2"})
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    path = tmp_path / "cut.ts"
    data = whole.read_bytes()
    path.write_bytes(data[: 188 * 3] + data[packets[14].pos :])
    reference = torch.from_numpy(decode_all(path))
    assert len(reference) < 30
    assert torch.equal(read_frames(path, range(len(reference)), None), reference)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
@pytest.mark.parametrize("cut", [2, 9])
def test_stream_that_begins_between_keyframes_begins_where_players_do(tmp_path: Path, codec: str, cut: int) -> None:
    options = {"x265-params": "log-level=none:keyint=8"} if codec == "libx265" else {"g": "8"}
    whole = write_video(tmp_path / "whole.ts", 30, codec=codec, options=options)
    path = tmp_path / "cut.ts"
    with av.open(str(whole)) as original, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(original.streams.video[0])
        for packet in [packet for packet in original.demux(video=0) if packet.size][cut:]:
            packet.stream = copy
            output.mux(packet)
    assert_shows(path, decoded(path))


def test_random_access_points_that_fail_are_given_up(tmp_path: Path) -> None:
    """Some recovery points of open groups of pictures can't be decoded from in a transport stream."""
    params = "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-pyramid=normal"
    path = write_video(tmp_path / "a.ts", 25, seed=3, options={"x264-params": params})
    reference = decoded(path)
    with VideoReader(path) as video:
        for index in (24, 12, 24):
            assert torch.equal(video.read([index]), reference[[index]])


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


B_FRAMES: dict[str, dict[str, object]] = {
    "h264": {"options": {"g": "12", "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}},
    "hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:bframes=3:b-adapt=0"}},
    "mpeg4": {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}},
    "mpeg2": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}},
}


def in_decoding_order(position: int, packet: "av.Packet[av.VideoStream]", ticks: int) -> None:
    packet.pts = packet.dts = position * ticks


def all_equal(position: int, packet: "av.Packet[av.VideoStream]", ticks: int) -> None:
    packet.pts, packet.dts = 0, (position - 100) * ticks


def exchanged_in_pairs(position: int, packet: "av.Packet[av.VideoStream]", ticks: int) -> None:
    packet.pts, packet.dts = ((position ^ (position > 1)) + 4) * ticks, position * ticks


def wrong_from_the_second_half(position: int, packet: "av.Packet[av.VideoStream]", ticks: int) -> None:
    shown = packet.pts or 0
    packet.pts, packet.dts = (shown if position < 12 else position * ticks) + 9 * ticks, position * ticks


@pytest.mark.parametrize(
    ("codec", "suffix", "change"),
    [
        *(("h264", suffix, in_decoding_order) for suffix in ("mp4", "mov", "mkv", "flv", "ts", "asf")),
        *(("hevc", suffix, in_decoding_order) for suffix in ("mp4", "mkv")),
        *(("mpeg4", suffix, in_decoding_order) for suffix in ("mp4", "mkv")),
        *(("mpeg2", suffix, in_decoding_order) for suffix in ("mkv", "ts")),
        *((codec, "mkv", all_equal) for codec in B_FRAMES),
        *(("h264", suffix, exchanged_in_pairs) for suffix in ("mp4", "mkv", "ts")),
        *((codec, "mp4", wrong_from_the_second_half) for codec in B_FRAMES),
    ],
)
def test_wrong_times_do_not_change_the_order_of_frames(
    folder: Path, tmp_path: Path, codec: str, suffix: str, change: Callable[..., None]
) -> None:
    source = folder / f"b_frames_{codec}.mp4"
    if not source.exists():
        write_video(source, 28, **B_FRAMES[codec])
    assert_shows(remux(source, tmp_path / f"a.{suffix}", change), decoded(source))


def test_avi_copied_to_containers_with_times(tmp_path: Path) -> None:
    """AVI has no presentation times, and a copy takes the packets' order for one."""
    source = write_video(tmp_path / "a.avi", 28, **B_FRAMES["h264"])
    for suffix in ("mp4", "mkv"):
        path = remux(source, tmp_path / f"copy.{suffix}", lambda position, packet, ticks: None)
        assert_shows(path, decoded(source))
        with VideoReader(path) as video:
            assert video._seconds() == pytest.approx([k / 25 for k in range(28)])
            assert video.span(0.4, 0.8) == range(10, 20)


def test_a_codec_that_reorders_and_has_unknown_headers_is_decoded_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_video(tmp_path / "source.mp4", 28, **B_FRAMES["h264"])
    path = remux(source, tmp_path / "a.mp4", in_decoding_order)
    monkeypatch.setattr(coded_stream, "parser_for", lambda codec, extradata: parser_for("unknown", extradata))
    monkeypatch.setattr(coded_stream, "headers_contain_order", lambda codec: False)
    monkeypatch.setattr(coded_stream.CodedStream, "_decoder_reorders", lambda stream: True)
    assert_shows(path, decoded(source))


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".avi")])
def test_correct_times_are_believed(folder: Path, name: str) -> None:
    """An ordinary file is never decoded just to find the order of its frames."""
    with VideoReader(written(folder, name)) as video:
        video.read(range(len(video)))
        assert video._stream._follows_times


PREDICTED = {"g": "60", "sc_threshold": "1000000000"}
FALSE_KEYFRAMES: dict[str, dict[str, object]] = {
    "h263.3gp": {"codec": "h263", "width": 176, "height": 144, "options": PREDICTED},
    "h263.avi": {"codec": "h263", "width": 176, "height": 144, "options": PREDICTED},
    "h261.avi": {"codec": "h261", "width": 176, "height": 144, "options": PREDICTED},
    "flv1.flv": {"codec": "flv", "options": PREDICTED},
    "wmv1.wmv": {"codec": "wmv1", "options": PREDICTED},
    "wmv2.wmv": {"codec": "wmv2", "options": PREDICTED},
    "msmpeg4v2.avi": {"codec": "msmpeg4v2", "options": PREDICTED},
    "msmpeg4v3.mkv": {"codec": "msmpeg4", "options": PREDICTED},
    "svq1.mov": {"codec": "svq1", "pixels": "yuv410p"},
    "h264.mkv": {},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=9"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": PREDICTED},
    "mpeg2.mkv": {"codec": "mpeg2video", "options": {**PREDICTED, "bf": "2"}},
    "vp8.mkv": {"codec": "libvpx", "options": {"g": "60", "deadline": "realtime"}},
    "mjpeg.mov": {"codec": "mjpeg", "pixels": "yuvj420p"},
}


@pytest.mark.parametrize("name", FALSE_KEYFRAMES)
@pytest.mark.parametrize("first", [0, 3])
def test_pictures_that_are_falsely_called_keyframes(tmp_path: Path, name: str, first: int) -> None:
    source = write_video(tmp_path / f"true_{name}", 20, **FALSE_KEYFRAMES[name])

    def mark(position: int, packet: "av.Packet[av.VideoStream]", ticks: int) -> None:
        packet.is_keyframe = position % 7 == first

    assert_shows(remux(source, tmp_path / name, mark), decoded(source))


@pytest.mark.parametrize("name", ["h261", "h263"])
def test_raw_streams_without_keyframe_flags(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / f"a.{name}", 20, codec=name, width=176, height=144, options=PREDICTED)
    assert_shows(path, decoded(path))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="macOS has no scheduling policies")
def test_writing_av1_leaves_the_priority_of_the_tests(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    write_video(tmp_path / "a.mkv", 20, codec="libsvtav1")
    assert {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()} == {before}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
        {"codec": "mpeg4", "options": PREDICTED},
        {"codec": "libvpx-vp9", "options": {"g": "60", "deadline": "realtime"}},
        {"codec": "libsvtav1"},
    ],
)
def test_mp4_that_calls_every_sample_a_keyframe(tmp_path: Path, settings: dict[str, object]) -> None:
    """Without a table of sync samples (stss), an MP4 file says that decoding can start anywhere."""
    path = write_video(tmp_path / "a.mp4", 20, **settings)
    data = path.read_bytes()
    assert b"stss" in data
    path.write_bytes(data.replace(b"stss", b"free"))
    with VideoReader(path) as video:
        assert all(video._stream._packets[position].is_keyframe for position in range(20))
    assert_shows(path, decoded(path))
