import itertools
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.recognition.live import Gap, LiveRecognition, StreamLostWarning, WatchSettings
from tests.recognition.live.senders import broadcasting, sending_datagrams, write_stream
from tests.videos import write_video


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("tiny", labels=["archery", "surfing"], device="cpu")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ost_lightning.recognition.live.live_reader._FIRST_WAIT", 0.05)


def windows(found: Iterator[LiveRecognition | Gap]) -> list[tuple[float, float]]:
    return [(round(result.start, 2), round(result.end, 2)) for result in found if isinstance(result, LiveRecognition)]


def test_a_window_over_a_whole_file_is_recognized_like_the_file(recognizer: Recognizer, tmp_path: Path) -> None:
    file = write_video(tmp_path / "clip.mp4", 20)  # 0.8 s
    (live,) = recognizer.watch(file, window=0.8, stride=0.4, evidence=True)
    assert isinstance(live, LiveRecognition)
    (alone,) = recognizer.stream([file], evidence=True)
    assert live.recognition.probabilities == pytest.approx(alone.probabilities, abs=1e-6)  # type: ignore[union-attr]
    assert live.recognition.evidence is not None
    assert live.recognition.evidence.second is not None
    assert 0 <= live.recognition.evidence.second < 0.8
    assert (live.start, live.end, live.dropped, live.skipped) == (0, pytest.approx(0.8), 0, 0)


def test_windows_share_frames_that_are_encoded_once(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = recognizer._video_clip.encode_frames
    monkeypatch.setattr(
        recognizer._video_clip,
        "encode_frames",
        lambda frames: (encoded.append(frames.shape[:2].numel()), encode(frames))[1],
    )
    file = write_video(tmp_path / "clip.mp4", 30)
    began = time.monotonic()
    assert windows(recognizer.watch(file, window=0.8, stride=0.2)) == [(0.0, 0.8), (0.2, 1.0), (0.4, 1.2)]
    assert time.monotonic() - began > 1.0  # at its own speed
    assert sum(encoded) == 12


@pytest.mark.parametrize("count", [1, 10])
def test_a_file_shorter_than_the_window_gives_one_result(recognizer: Recognizer, tmp_path: Path, count: int) -> None:
    file = write_video(tmp_path / "clip.mp4", count)
    # at least one middle of a step of 0.05 s is on screen for a frame of 0.04 s
    assert windows(recognizer.watch(file, window=0.4 if count > 1 else 0.2, stride=0.2))[:1] == [
        (0.0, 0.4) if count > 1 else (0.0, 0.05)
    ]


def test_a_stream_that_breaks_is_opened_again_and_its_gap_is_named(recognizer: Recognizer, tmp_path: Path) -> None:
    files = [write_stream(tmp_path / f"{seed}.ts", 25, seed) for seed in range(2)]
    found: list[LiveRecognition | Gap] = []

    def watch(url: str) -> None:
        for result in recognizer.watch(url, window=0.4, stride=0.2, timeout=20, reconnects=2):
            found.append(result)

    with broadcasting(*files) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(UserError, match=r"me:\*\*\*@.* is lost: .*, after 2 attempts"):
            watch(server.url)
    assert {warning.category for warning in warned} == {StreamLostWarning}
    assert "secret" not in "".join(str(warning.message) for warning in warned)
    assert server.connections == 4  # two that sent, two that were refused
    gaps = [result for result in found if isinstance(result, Gap)]
    assert len(gaps) == 2
    first = found.index(gaps[0])
    before, after = found[first - 1], found[first + 1]
    assert isinstance(before, LiveRecognition)
    assert isinstance(after, LiveRecognition)
    assert before.end <= gaps[0].start + 0.05
    assert after.start >= gaps[0].end  # no window reaches over the gap
    assert gaps[0].end > gaps[0].start
    assert found[-1] is gaps[1]
    assert all(0 < result.latency < 60 for result in found if isinstance(result, LiveRecognition))
    assert {result.recognition.video for result in found if isinstance(result, LiveRecognition)} == {
        server.url.replace("secret", "***")
    }


def test_datagrams(recognizer: Recognizer, tmp_path: Path) -> None:
    with sending_datagrams(write_stream(tmp_path / "a.ts", 50)) as url:
        found = windows(itertools.islice(recognizer.watch(url, window=0.4, stride=0.2, timeout=5), 4))
    starts = [start for start, _ in found]
    # windows may arrive together, on a busy machine, and only the newest of them is recognized
    assert [start / 0.2 for start in starts] == pytest.approx([round(start / 0.2) for start in starts])
    assert starts == sorted(set(starts))
    assert [end - start for start, end in found] == pytest.approx([0.4] * 4)


def test_a_silent_stream_cannot_be_opened(recognizer: Recognizer) -> None:
    with pytest.raises(UserError, match=r"can't be opened: it was silent for 0\.3 s"):
        next(recognizer.watch("udp://127.0.0.1:9", timeout=0.3))
    with pytest.raises(UserError, match="can't be opened: Connection refused"):
        next(recognizer.watch("http://127.0.0.1:9/live", timeout=0.3))


def test_a_model_that_is_too_slow_drops_frames_and_stays_on_time(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, delays = recognizer._video_clip.encode_frames, []

    def slow(frames: torch.Tensor) -> torch.Tensor:
        began, seconds = time.monotonic(), 0.15 * frames.shape[:2].numel()  # a step takes 0.1 s
        time.sleep(seconds)
        embedded = encode(frames)
        delays.append(time.monotonic() - began - seconds)
        return embedded

    monkeypatch.setattr(recognizer._video_clip, "encode_frames", slow)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(recognizer.watch(write_video(tmp_path / "clip.mp4", 50), window=0.8, stride=0.4))
    last = found[-1]
    assert isinstance(last, LiveRecognition)
    assert last.dropped >= 3
    limit = 0.4 + 4 * max(delays)  # a machine that is busy is late by itself
    assert all(result.latency < limit for result in found[1:] if isinstance(result, LiveRecognition))


def test_the_time_may_be_limited(recognizer: Recognizer, tmp_path: Path) -> None:
    file = write_video(tmp_path / "clip.mp4", 750)
    began = time.monotonic()
    list(recognizer.watch(file, window=0.4, stride=0.2, duration=0.5))
    assert time.monotonic() - began < 20  # the file has 30 s


def test_settings_are_checked(recognizer: Recognizer, tmp_path: Path) -> None:
    file = write_video(tmp_path / "clip.mp4", 3)
    with pytest.raises(UserError, match=r"stride of 0\.1 s is shorter .* 0\.5 s, .* at least 0\.5 s"):
        next(recognizer.watch(file, window=4, stride=0.1))
    for name, value in (("window", 0), ("stride", float("nan")), ("timeout", -1), ("duration", 0), ("reconnects", -1)):
        with pytest.raises(UserError, match=f"{name} is"):
            WatchSettings(**{name: value})  # type: ignore[arg-type]
