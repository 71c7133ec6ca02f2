from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from ost_lightning.video import VideoReader, VideoReadError
from tests.videos import pictures

FLAGGED = Disposition.default
OPTIONS = {"libx264": {"bf": "0"}, "mjpeg": {}}


@dataclass(frozen=True)
class Track:
    """One video track of a file to write."""

    size: tuple[int, int] = (64, 48)
    codec: str = "libx264"
    frames: int = 12
    disposition: int = 0


LARGE, SMALL = Track((128, 96)), Track()
PREVIEW, STILL = Track((320, 240), "mjpeg", 1), Track((320, 240), frames=1)


def write_tracks(path: Path, tracks: list[Track]) -> None:
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(track.codec, rate=25, options=OPTIONS[track.codec]) for track in tracks]
        for stream, track in zip(streams, tracks, strict=True):
            stream.width, stream.height = track.size
            stream.pix_fmt = "yuvj420p" if track.codec == "mjpeg" else "yuv420p"
            stream.disposition = track.disposition
        for k in range(max(track.frames for track in tracks)):
            for seed, (stream, track) in enumerate(zip(streams, tracks, strict=True)):
                if k < track.frames:
                    picture = pictures(track.frames, *track.size, seed=seed)[k]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))


def assert_shown(path: Path, index: int) -> None:
    """Checks that the frames are those of the stream with this index, by FFmpeg's full decode."""
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams[index])]
    with VideoReader(path) as video:
        assert (video.width, video.height) == expected[0].shape[1::-1]
        found = video.read(range(len(video))).permute(0, 2, 3, 1).numpy()
    assert found.shape == np.stack(expected).shape
    assert np.abs(found.astype(int) - np.stack(expected)).mean() < 2


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("tracks", "suffixes"),
    [
        # the first one is meant
        ((LARGE, SMALL), ("mkv", "avi", "ts", "asf")),  # in .mp4 the first track is the default one
        ((Track(disposition=FLAGGED), LARGE), ("mp4", "mov", "mkv")),
        ((Track((128, 96), disposition=FLAGGED), Track(disposition=FLAGGED)), ("mp4", "mkv")),
        ((LARGE, Track((128, 96), disposition=Disposition.visual_impaired)), ("mkv",)),
        ((SMALL, PREVIEW), ("mp4", "mov", "mkv", "avi", "asf")),
        ((SMALL, Track((320, 240), "mjpeg", 1, FLAGGED)), ("mp4", "mkv")),
        ((SMALL, STILL), ("mp4", "mov", "mkv", "avi", "ts", "asf")),
        ((SMALL, Track((320, 240), frames=1, disposition=FLAGGED)), ("mp4", "mkv")),
    ],
)
def test_the_track_that_players_take(
    tmp_path: Path, tracks: tuple[Track, Track], suffixes: tuple[str, ...], flipped: bool
) -> None:
    for suffix in suffixes:
        path = tmp_path / f"two.{suffix}"
        write_tracks(path, list(reversed(tracks)) if flipped else list(tracks))
        assert_shown(path, int(flipped))


def test_ffmpegs_own_choice_where_flags_decide(tmp_path: Path) -> None:
    path = tmp_path / "three.mkv"
    write_tracks(path, [LARGE, Track(disposition=FLAGGED), Track((96, 64))])
    with av.open(str(path)) as container:
        best = container.streams.best("video")
        assert best is not None
        assert best.index == 1
    assert_shown(path, 1)


def test_covers_alone_are_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 48, "yuvj420p", Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24").reformat(format="yuvj420p")
        container.mux([*cover.encode(picture), *cover.encode(None)])
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        container.mux([*sound.encode(samples), *sound.encode(None)])
    with pytest.raises(VideoReadError, match=r"song.m4a: the file has no video stream"):
        VideoReader(tmp_path / "song.m4a")


def test_a_single_picture_is_a_video_if_there_is_no_other(tmp_path: Path) -> None:
    write_tracks(tmp_path / "one.mkv", [PREVIEW])
    assert_shown(tmp_path / "one.mkv", 0)
