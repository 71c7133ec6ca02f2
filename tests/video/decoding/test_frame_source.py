import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.video import Box, CropSpec, FrameSource, VideoReader, VideoReadError, read_frames
from ost_lightning.video.decoding.scaling import FrameScaler
from tests.video.decoding.coded_files import VARIABLE
from tests.videos import decode_all, write_video


def test_frames_by_time(folder: Path) -> None:
    with VideoReader(write_video(folder / "times.mp4", len(VARIABLE), ticks=VARIABLE)) as video:
        assert video.indices_at([0, 0.04, 0.05, 1.0, 99]) == [0, 1, 2, VARIABLE.index(100), len(VARIABLE) - 1]
        with pytest.raises(VideoReadError, match=r"no frame is shown at -0\.1 s"):
            video.indices_at([0.1, -0.1])
        with pytest.raises(VideoReadError, match=r"no frame is shown at nan s"):
            video.indices_at([float("nan")])


@pytest.mark.parametrize("name", ["mpeg4.mp4", "h264.avi", "mpeg4.avi"])
def test_the_time_of_a_frame_identifies_it(tmp_path: Path, name: str) -> None:
    """Times are rounded like k / rate, not like k times a rounded unit."""
    path = write_video(tmp_path / name, 120, codec="mpeg4" if name.startswith("mpeg4") else "libx264")
    with VideoReader(path) as video:
        assert video.indices_at([k / 25 for k in range(120)]) == list(range(120))


def test_stream_that_starts_late_counts_from_its_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.ts", 20, ticks=[1000 + 4 * k for k in range(20)])
    with VideoReader(path) as video:
        assert video.indices_at([0.0, 0.081]) == [0, 2]
        assert torch.equal(video.read(range(20)), torch.from_numpy(decode_all(path)))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=st.lists(st.integers(0, 29), min_size=1, max_size=12))
def test_any_order_and_repetition(folder: Path, indices: list[int]) -> None:
    path = folder / "order.mp4"
    if not path.exists():
        write_video(path, options={"g": "7", "bf": "2"})
    everything = read_frames(path, range(30))
    assert torch.equal(read_frames(path, torch.tensor(indices)), everything[indices])


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


@pytest.mark.parametrize("index", [-1, 30, 1000])
def test_frames_that_do_not_exist(folder: Path, index: int) -> None:
    path = write_video(folder / "range.mp4")
    with pytest.raises(VideoReadError, match=rf"frame {index} does not exist: the video has 30 frames"):
        read_frames(path, [0, index])


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(VideoReadError("a.mp4", "broken")))  # noqa: S301  # our own bytes
    assert (str(error), error.reason) == ("a.mp4: broken", "broken")


class FakeSource(FrameSource):
    """A video of three frames, of which only the given ones can be decoded."""

    width, height, codec, rate = 4, 4, "none", 0.0

    def __init__(self, frames: dict[int, object]) -> None:
        super().__init__("fake.mp4")
        self.decoded, self.scaler = frames, FrameScaler()

    def __len__(self) -> int:
        return 3

    def _seconds(self) -> list[float]:
        return [0.0, 1.0, 2.0]

    def _frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        return ((index, self.decoded[index]) for index in wanted if index in self.decoded)

    def close(self) -> None:
        pass


def picture(size: int = 4) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.zeros((size, size, 3), np.uint8), format="rgb24")


def whole(height: int, width: int) -> CropSpec:
    return CropSpec((Box(0, 0, height, width),), 4)


def test_errors_name_a_frame_that_is_never_decoded() -> None:
    with pytest.raises(VideoReadError, match=r"fake\.mp4: frame 2 of 3 could not be decoded"):
        FakeSource({0: picture(), 1: picture()}).read([2, 0])


def test_errors_name_a_frame_that_the_decoder_marks_as_damaged() -> None:
    damaged = SimpleNamespace(is_corrupt=True)
    with pytest.raises(VideoReadError, match=r"frame 1 of 3 is damaged"):
        FakeSource({0: picture(), 1: damaged}).read([0, 1])


def test_pictures_that_change_their_size_are_refused() -> None:
    video = FakeSource({0: picture(), 1: picture(6)})
    with pytest.raises(VideoReadError, match=r"the pictures change their size at frame 1"):
        video.read([0, 1])
    with pytest.raises(VideoReadError, match=r"the pictures change their size at frame 1"):
        FakeSource({0: picture(), 1: av.VideoFrame(8, 4, "rgb24")}).read_crops([0, 1], 4, whole)


def test_requesting_no_frames_is_an_error() -> None:
    for read in (lambda video: video.read([]), lambda video: video.read_crops([], 4, whole)):
        with pytest.raises(ValueError, match="no frames were requested"):
            read(FakeSource({}))
