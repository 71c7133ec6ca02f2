from pathlib import Path

import pytest

from ost_lightning.datamodules import DecodeReport, UndecodableVideoWarning
from ost_lightning.errors import UserError
from ost_lightning.video import ReadFailure


def test_each_video_is_named_once(tmp_path: Path) -> None:
    report = DecodeReport()
    with pytest.warns(UndecodableVideoWarning, match=r"a\.mp4: broken") as warned:
        report.add(
            [
                ReadFailure("a", "a.mp4: broken"),
                ReadFailure("a", "a.mp4: broken"),
                ReadFailure("b", "b.mp4: gone, lost"),
            ]
        )
    assert len(warned) == 2
    report.write(tmp_path / "new" / "undecodable.csv")
    lines = (tmp_path / "new" / "undecodable.csv").read_text().splitlines()
    assert lines == ["id,reason", "a,a.mp4: broken", 'b,"b.mp4: gone, lost"']


def test_limit() -> None:
    report = DecodeReport()
    with pytest.warns(UndecodableVideoWarning):
        report.add([ReadFailure(f"{k}", f"{k}.mp4: broken") for k in range(3)])
    report.stop_beyond(3)
    with pytest.raises(UserError, match=r"3 videos could not be read, more than the 2 allowed .*First: 0\.mp4: broken"):
        report.stop_beyond(2)


def test_nothing_to_report_writes_nothing(tmp_path: Path) -> None:
    DecodeReport().write(tmp_path / "undecodable.csv")
    assert not (tmp_path / "undecodable.csv").exists()
