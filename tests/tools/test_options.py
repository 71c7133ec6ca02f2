import os
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.tools.options import output_file, output_folder, processes


def test_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    usable = getattr(os, "sched_getaffinity", None)
    assert processes(None) == (len(usable(0)) if usable else os.cpu_count())
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert processes(None) == os.cpu_count()
    assert processes(0) == 0
    with pytest.raises(UserError, match="--workers is -1"):
        processes(-1)


def test_output_paths_that_can_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").touch()
    assert output_folder(Path("new/below")) == Path("new/below")
    assert output_folder(Path()) == Path()
    assert output_file(Path("new/below.txt")) == Path("new/below.txt")
    assert output_file(tmp_path / "list.txt") == tmp_path / "list.txt"
    with pytest.raises(UserError, match=r"list\.txt is a file"):
        output_folder(Path("list.txt/below"))
    with pytest.raises(UserError, match=r"list\.txt is a file"):
        output_file(Path("list.txt/below.txt"))
    with pytest.raises(UserError, match="is a folder"):
        output_file(tmp_path)
