import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition

from ost_lightning.video import VideoReader, VideoReadError, read_frames
from ost_lightning.video.decoding import packets
from tests.video.decoding.coded_files import FILES, written
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
