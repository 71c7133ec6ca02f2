from threading import Event, current_thread, main_thread

import pytest

from ost_lightning.video import VideoReadError
from ost_lightning.video.decoding import run_with_timeout


def test_work_within_the_limit_returns_its_result() -> None:
    assert run_with_timeout(30, "a.mp4", lambda: 7) == 7
    assert run_with_timeout(30, "a.mp4", lambda: current_thread() is main_thread()) is False
    assert run_with_timeout(None, "a.mp4", lambda: current_thread() is main_thread()) is True


def test_work_that_takes_too_long_is_abandoned() -> None:
    released = Event()
    with pytest.raises(VideoReadError, match=r"^a\.mp4: reading it took longer than 0\.05 s \(loading\.read_timeout\)"):
        run_with_timeout(0.05, "a.mp4", lambda: released.wait(60))
    released.set()


@pytest.mark.parametrize("seconds", [None, 30])
def test_errors_of_the_work_are_passed_on(seconds: float | None) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with_timeout(seconds, "a.mp4", lambda: 1 / 0)
