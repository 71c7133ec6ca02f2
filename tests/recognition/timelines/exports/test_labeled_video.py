"""Videos with labels drawn in: the bar at the right times, everything else as it was, sound included."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import Gap, Segment, Timeline, save_timeline
from ost_lightning.video.decoding import open_video
from tests.recognition.timelines.exports.examples import HOSTILE
from tests.videos import decode_all, write_video


def labeled(video: Path, output: Path, *segments: Segment, gaps: tuple[Gap, ...] = ()) -> Path:
    save_timeline(Timeline(str(video), 10.0, ("archery",), segments, gaps=gaps), output)
    return output


def dark_rows(frames: NDArray[np.uint8]) -> list[bool]:
    """Whether the left end of the last rows of each frame is black."""
    return [bool(frame[:, -6:, :2].mean() < 40) for frame in frames]


def gray(count: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.full((count, height, width, 3), 160, np.uint8)


def test_the_bar_is_shown_from_start_to_end_and_the_rest_is_unchanged(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", 25, width=320, height=180, shots=gray(25, 180, 320))
    segment, gap = Segment(0.2, 0.4, "archery", 0.3), Gap(0.6, 0.68, "lost")
    frames = decode_all(labeled(video, tmp_path / "out.mp4", segment, gaps=(gap,)))
    assert frames.shape == (25, 3, 180, 320)
    assert dark_rows(frames) == [5 <= k < 10 or 15 <= k < 17 for k in range(25)]
    assert frames[7, :, -15:, 10:90].max() > 200  # letters
    assert abs(frames[:, :, :150].astype(int) - 160).max() <= 4


def test_times_of_a_variable_frame_rate_stay(tmp_path: Path) -> None:
    ticks = [0, 3, 5, 40, 41, 90]
    video = write_video(tmp_path / "x.mkv", 6, ticks=ticks)
    with open_video(labeled(video, tmp_path / "out.mp4")) as copy:
        assert copy.times(range(6)) == pytest.approx([tick / 100 for tick in ticks], abs=1e-3)


def test_colors_stay(tmp_path: Path) -> None:
    shots = np.zeros((3, 96, 128, 3), np.uint8)
    shots[:, :, :64], shots[:, :, 64:] = (210, 40, 60), (30, 160, 220)
    video = write_video(tmp_path / "x.mp4", 3, width=128, height=96, shots=shots, options={"crf": "4"})
    before, after = decode_all(video), decode_all(labeled(video, tmp_path / "out.mp4"))
    assert abs(after.astype(int) - before)[..., :60].max() <= 6


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_turned_videos_are_upright(tmp_path: Path, rotate: int) -> None:
    video = write_video(tmp_path / "x.mp4", 4, rotate=rotate, width=96, height=64)
    before, after = decode_all(video), decode_all(labeled(video, tmp_path / "out.mp4"))
    assert after.shape == before.shape
    assert abs(after.astype(int) - before).mean() < 12
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize(("width", "height"), [(65, 49), (15, 9), (2, 2)])
def test_odd_and_tiny_sizes(tmp_path: Path, width: int, height: int) -> None:
    video = write_video(tmp_path / "x.mkv", 3, codec="ffv1", pixels="yuv444p", width=width, height=height)
    frames = decode_all(labeled(video, tmp_path / "out.mp4", Segment(0.0, 1.0, "archery", 0.3)))
    assert frames.shape == (3, 3, height // 2 * 2, width // 2 * 2)


def test_pixels_that_are_not_square_become_square(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", 3, width=64, height=64, aspect=Fraction(2))
    assert decode_all(labeled(video, tmp_path / "out.mp4")).shape == (3, 3, 64, 128)


@pytest.mark.parametrize("label", [*HOSTILE, "x" * 500, ""])
def test_every_name_can_be_drawn(tmp_path: Path, label: str) -> None:
    video = write_video(tmp_path / "x.mp4", 2, width=160, height=120, shots=gray(2, 120, 160))
    frames = decode_all(labeled(video, tmp_path / "out.mp4", Segment(0.0, 1.0, label, 0.3)))
    assert dark_rows(frames) == [True, True]


def with_sound(path: Path, codec: str, late: float = 0.0) -> Path:
    """A second of pictures with a second of a tone, which begins `late` seconds after the pictures."""
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream(codec, rate=48_000, layout="stereo")
        for k, shot in enumerate(gray(25, 48, 64)):
            frame = av.VideoFrame.from_ndarray(shot, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        tone = (8000 * np.sin(np.arange(48_000) / 12)).astype(np.int16)
        samples = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        samples.sample_rate, samples.pts, samples.time_base = 48_000, round(48_000 * late), Fraction(1, 48_000)
        resampler = av.AudioResampler(format=sound.format.name, layout="stereo", rate=48_000)
        for part in resampler.resample(samples):
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return path


def packets_of_sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "flac"), (".mkv", "libopus")])
def test_sound_is_copied(tmp_path: Path, suffix: str, codec: str) -> None:
    video = with_sound(tmp_path / f"x{suffix}", codec)
    copied, original = packets_of_sound(labeled(video, tmp_path / "out.mp4")), packets_of_sound(video)
    assert len(original) > 5
    assert copied == original[len(original) - len(copied) :]
    assert len(original) - len(copied) <= 1  # of a codec that begins before the first picture


@pytest.mark.parametrize("late", [0.0, 0.4])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "pcm_s16le"), (".ts", "aac"), (".ts", "mp2")])
def test_sound_stays_in_time(tmp_path: Path, suffix: str, codec: str, late: float) -> None:
    video = with_sound(tmp_path / f"x{suffix}", codec, late)
    """Both begin 1.4 s after zero in a transport stream."""
    with av.open(str(labeled(video, tmp_path / "out.mp4"))) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        frames = list(container.decode(audio=0))
    times = [frame.time for frame in frames if np.abs(frame.to_ndarray()).max() > 0.05]
    assert times[0] == pytest.approx(late, abs=0.05)
    assert times[-1] == pytest.approx(late + 1, abs=0.1)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 25


def test_a_folder_of_frames_has_no_times(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for k in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"frames/{k:04}.png")
    with pytest.raises(UserError, match="frames"):
        labeled(tmp_path / "frames", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
