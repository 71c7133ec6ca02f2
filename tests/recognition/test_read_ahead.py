import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.read_ahead import ReadVideo, read_ahead


def read(video: object) -> ReadVideo:
    return ReadVideo(str(video), None, "")


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_order_is_kept(threads: int) -> None:
    def uneven(video: object) -> ReadVideo:
        time.sleep(0.02 if int(str(video)) % 3 == 0 else 0)
        return read(video)

    names = [str(number) for number in range(20)]
    found = [video.name for batch in read_ahead(names, uneven, threads, 4) for video in batch]
    assert found == names


def test_the_first_video_has_the_machine_to_itself() -> None:
    begun = []

    def noted(video: object) -> ReadVideo:
        begun.append(video)
        return read(video)

    batches = read_ahead([str(number) for number in range(6)], noted, 2, 4)
    assert [video.name for video in next(batches)] == ["0"]
    assert begun == ["0"]
    assert sum(len(batch) for batch in batches) == 5


def test_no_video_waits_for_later_ones() -> None:
    release = threading.Event()

    def blocking(video: object) -> ReadVideo:
        if int(str(video)) > 1:
            release.wait(10)
        return read(video)

    batches = read_ahead([str(number) for number in range(6)], blocking, 2, 4)
    assert [[video.name for video in next(batches)] for _ in range(2)] == [["0"], ["1"]]
    release.set()
    assert sum(len(batch) for batch in batches) == 4


def test_batches_are_filled_with_videos_that_are_ready() -> None:
    found = set()

    def noted(video: object) -> ReadVideo:
        found.add(video)
        return read(video)

    started = read_ahead([str(number) for number in range(20)], noted, 8, 4)
    seen = len(next(started))
    assert seen == 1
    seen += (second := len(next(started)))
    assert second <= 4
    end = time.monotonic() + 60
    while len(found) < seen + 5:  # one more, because a video counts as read a moment after it was
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len(next(started)) == 4


def test_an_endless_source_is_read_only_a_little_ahead() -> None:
    taken = []

    def endless() -> Iterator[str]:
        for number in count():
            taken.append(number)
            yield str(number)

    batches = read_ahead(endless(), read, 2, 3)
    next(batches)
    assert len(taken) <= 5
    batches.close()  # type: ignore[attr-defined]


def test_numbers_out_of_range_are_rejected() -> None:
    with pytest.raises(UserError, match="got -1 and 1"):
        next(read_ahead(["a"], read, -1, 1))
