import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.recognition.replicas import devices, share_out
from tests.videos import write_video


def test_two_replicas_give_the_results_of_one(tmp_path: Path) -> None:
    videos: list[Path] = [write_video(tmp_path / f"{seed}.mp4", count=8, seed=seed) for seed in range(6)]
    videos.insert(2, tmp_path / "missing.mp4")
    labels = ["archery", "surfing", "riding a horse"]
    one, two = (Recognizer.load("tiny", labels, device) for device in ("cpu", "cpu, cpu"))
    used, both = set(), threading.Barrier(2)
    first, second = two._replicas
    assert first.video_clip is not second.video_clip

    def encode_noted(frames: Tensor, number: int, encode: Callable[[Tensor], Tensor]) -> Tensor:
        if number not in used:
            used.add(number)
            both.wait(60)  # each waits for the other once, so that neither does all of the work
        return encode(frames)

    for number, replica in enumerate(two._replicas):
        encode = partial(encode_noted, number=number, encode=replica.video_clip.encode_frames)
        replica.video_clip.encode_frames = encode  # type: ignore[method-assign]
    found = list(two.stream(videos, threads=2, batch_size=1))
    assert [result.video for result in found] == [str(video) for video in videos]
    for alone, shared in zip(one.stream(videos), found, strict=True):
        assert shared == alone
    assert used == {0, 1}


def test_results_keep_their_order_and_come_when_they_are_known() -> None:
    release = threading.Event()

    def slow(number: int) -> int:
        if number == 1:
            release.wait(10)
        return number

    results = share_out(iter(range(9)), [slow] * 3)
    assert next(results) == 0  # waits for no other
    release.set()
    assert list(results) == list(range(1, 9))


def test_an_endless_source_is_taken_only_a_little_ahead() -> None:
    taken = []

    def endless() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    results = share_out(endless(), [str, str])
    assert list(islice(results, 3)) == ["0", "1", "2"]
    time.sleep(0.05)
    assert len(taken) <= 3 + 2 * 2
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() < 20


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_batches_and_workers_are_raised(workers: int) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise UserError("the list ends early")

    results = share_out(failing(), [abs] * workers)
    assert next(results) == 1
    with pytest.raises(UserError, match="ends early"):
        next(results)
    with pytest.raises(ZeroDivisionError):
        list(share_out(iter([0, 1]), [lambda number: 1 // number] * workers))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert devices(None) == devices("cpu") == devices([torch.device("cpu")]) == [torch.device("cpu")]
    assert devices("cpu, meta") == [torch.device("cpu"), torch.device("meta")]
    for wrong, message in (("gpu", "no device 'gpu'"), ("cpu,", "no device ''"), ([], "no device in the list")):
        with pytest.raises(UserError, match=message):
            devices(wrong)
    with pytest.raises(UserError, match="cuda:0 is not available"):
        devices("cuda:0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices("cuda:0,cuda:1") == [torch.device("cuda", 0), torch.device("cuda", 1)]
    with pytest.raises(UserError, match="no device cuda:2: this machine has 2 GPUs"):
        devices("cuda:2")
