from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch
from av.video.frame import PictureType

from ost_lightning.video import VideoReader, read_frames
from ost_lightning.video.decoding.bitstream import parser_for
from ost_lightning.video.maintenance.transcoding import TranscodeSettings, TranscodingJob, transcode
from tests.videos import write_video

SETTINGS = TranscodeSettings(short_side=48, gop=5, crf=10, preset="veryfast")
VARIABLE = [0, 3, 5, 11, 12, 13, 30, 31, 33, 60, 61, 70]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain.mp4", {"options": {"g": "100"}}),
        ("divx.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("phone.mp4", {"rotate": 90}),
        ("odd.mp4", {"width": 75, "height": 67, "pixels": "yuv444p"}),
        ("wide.mp4", {"aspect": Fraction(4, 3)}),
        ("full.mp4", {"pixels": "yuvj420p"}),
        ("variable.mkv", {"ticks": VARIABLE}),
        ("small.mp4", {"width": 32, "height": 24}),
    ],
)
def test_frames_times_and_colors_are_kept(tmp_path: Path, name: str, settings: dict[str, object]) -> None:
    source = write_video(tmp_path / name, 12, **{"width": 128, "height": 96, **settings})
    done = transcode(TranscodingJob(name, source, tmp_path / "new" / "copy.mp4", SETTINGS))
    assert (done.error, done.frames) == ("", 12)
    assert done.bytes_after == (tmp_path / "new" / "copy.mp4").stat().st_size
    assert done.ms_before > 0 < done.ms_after
    with VideoReader(source) as old, VideoReader(tmp_path / "new" / "copy.mp4") as new:
        assert len(old) == len(new) == 12
        times = list(range(12)) if "ticks" not in settings else VARIABLE
        unit = 0.04 if "ticks" not in settings else 0.01
        assert new.indices_at([tick * unit + 0.002 for tick in times]) == list(range(12))
        side = min(48, min(new.height, new.width))
        before, after = old.read(range(12), side), new.read(range(12), side)
        starts = [*new._stream._random_access_points, 12]
        assert starts[0] == 0
        assert max(b - a for a, b in pairwise(starts)) <= 5
    # rounding to even sides removes one pixel at most
    height, width = (min(before.shape[axis], after.shape[axis]) for axis in (2, 3))
    difference = (before[..., :height, :width].float() - after[..., :height, :width].float()).mean((0, 2, 3))
    assert float(difference.abs().max()) < 3
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "copy.mp4"]


def test_only_incomplete_copies_and_those_with_other_settings_are_rewritten(tmp_path: Path) -> None:
    job = TranscodingJob("a", write_video(tmp_path / "a.mp4", 12), tmp_path / "new" / "a.mp4", SETTINGS)
    transcode(job)
    written = job.target.stat().st_mtime_ns
    assert transcode(job).frames == 12
    assert job.target.stat().st_mtime_ns == written
    transcode(replace(job, settings=replace(SETTINGS, gop=6)))
    assert job.target.stat().st_mtime_ns > written
    job.target.write_bytes(job.target.read_bytes()[:500])
    assert transcode(job).error == ""
    assert len(read_frames(job.target, range(12))) == 12


def test_broken_video_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", 40, codec="mpeg2video", options={"g": "10"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        middle = [packet.pos for packet in container.demux(video=0) if packet.size][20]
    data[middle + 200 : middle + 3000] = bytes(2800)
    path.write_bytes(data)
    done = transcode(TranscodingJob("a", path, tmp_path / "new" / "a.mp4", SETTINGS))
    assert "a.ts" in done.error
    assert not list((tmp_path / "new").iterdir())


def test_settings_decide_size_and_keyframes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 12, width=128, height=96)
    transcode(TranscodingJob("a", path, tmp_path / "b.mp4", SETTINGS))
    assert read_frames(tmp_path / "b.mp4", [0], None).shape == (1, 3, 48, 64)
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert torch.equal(read_frames(tmp_path / "b.mp4", [7]), read_frames(tmp_path / "b.mp4", range(12))[7:8])


@pytest.mark.parametrize(("fast", "cabac"), [(True, b"cabac=0"), (False, b"cabac=1")])
def test_every_b_picture_can_be_skipped(tmp_path: Path, fast: bool, cabac: bytes) -> None:
    path = write_video(tmp_path / "a.mp4", 24, width=128, height=96)
    settings = replace(SETTINGS, gop=12, preset="medium", fast_decode=fast)
    transcode(TranscodingJob("a", path, tmp_path / "b.mp4", settings))
    data = (tmp_path / "b.mp4").read_bytes()
    written = data[data.index(b"options: ") : data.index(b"options: ") + 600]  # x264 records its options
    assert cabac in written
    assert (b"deblock=0" in written) is fast
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        parse = parser_for("h264", stream.codec_context.extradata)
        packets = [packet for packet in container.demux(stream) if packet.size]
        kinds = {}
        for packet in packets:
            kinds |= {frame.pts: frame.pict_type for frame in stream.codec_context.decode(packet)}
        kinds |= {frame.pts: frame.pict_type for frame in stream.codec_context.decode(None)}
    pictures = [(kinds[packet.pts], parse(memoryview(packet), packet.is_keyframe).is_reference) for packet in packets]
    assert {is_reference for kind, is_reference in pictures if kind == PictureType.B} == {False}
    assert {is_reference for kind, is_reference in pictures if kind != PictureType.B} == {True}


def test_a_copy_with_another_number_of_frames_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = write_video(tmp_path / "a.mp4", 12), write_video(tmp_path / "other.mp4", 11).read_bytes()
    monkeypatch.setattr(
        "ost_lightning.video.maintenance.transcoding._encode", lambda video, target, settings: target.write_bytes(other)
    )
    done = transcode(TranscodingJob("a", path, tmp_path / "new" / "a.mp4", SETTINGS))
    assert "it has 12 frames, but its copy has 11" in done.error
    assert not list((tmp_path / "new").iterdir())
