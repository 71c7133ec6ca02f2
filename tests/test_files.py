import ast
import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ost_lightning
from ost_lightning.cli_errors import mistake_in
from ost_lightning.files import (
    atomic_write,
    open_csv,
    remove_interrupted_writes,
    unescape_bytes,
    write_text_atomically,
)
from tests.full_disk import files_of_at_most

PACKAGE = Path(ost_lightning.__file__).parent


class Interrupted(BaseException):
    """Stand-in for Ctrl-C in the middle of a write."""


def write_half(target: Path, *, folder: bool = False) -> None:
    with atomic_write(target) as temporary:
        if folder:
            temporary.mkdir()
        (temporary / "a.mp4" if folder else temporary).write_text("half of the content")
        raise Interrupted


def make_folder(target: Path, content: str) -> None:
    with atomic_write(target) as temporary:
        temporary.mkdir()
        (temporary / content).touch()


def test_an_interrupted_write_leaves_only_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")
    with pytest.raises(Interrupted):
        write_half(file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_old_file_exists_until_the_new_one_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")
    with atomic_write(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_the_temporary_path_is_a_hidden_neighbor_with_the_same_suffix(tmp_path: Path) -> None:
    file = tmp_path / "new" / "clip.mp4"
    with atomic_write(file) as temporary:
        assert temporary.parent == file.parent
        assert temporary.suffix == ".mp4"
        assert temporary.name.startswith(".")
        assert not temporary.exists()
        temporary.touch()
    assert file.is_file()


def test_folders_appear_complete_and_replace_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    with pytest.raises(Interrupted):
        write_half(folder, folder=True)
    assert list(tmp_path.iterdir()) == []
    make_folder(folder, "first")
    with pytest.raises(FileExistsError, match="videos already exists"):
        make_folder(folder, "second")
    assert [file.name for file in folder.iterdir()] == ["first"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_block_that_writes_nothing_raises(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("durable", [False, True])
def test_a_durable_file_is_flushed_before_the_rename_and_its_folder_after(
    tmp_path: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, synced = tmp_path / "a", []
    file.write_text("old")
    sync = os.fsync

    def recording_sync(descriptor: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), file.read_text()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recording_sync)
    with atomic_write(file, durable=durable) as temporary:
        temporary.write_text("new")
    assert synced == ([(temporary, "old"), (tmp_path, "new")] if durable else [])


def test_parallel_writers_do_not_mix_their_content(tmp_path: Path) -> None:
    file = tmp_path / "shared.txt"
    with atomic_write(file) as slow:
        slow.write_text("slow")
        write_text_atomically(file, "fast")
        with atomic_write(file) as other:
            other.write_text("other")
            assert other != slow
        assert file.read_text() == "other"
    assert file.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [file]


def test_only_files_left_by_killed_processes_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "epoch[1].ckpt"
    program = f"""
import os, pathlib
from ost_lightning.files import atomic_write
with atomic_write(pathlib.Path({str(file)!r})) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    (leftover,) = tmp_path.iterdir()
    others = {tmp_path / name for name in ("epoch[1].ckpt", "epoch1.ckpt", ".epoch1-0a.partial.ckpt", "a.partial.ckpt")}
    for other in others:
        other.touch()
    remove_interrupted_writes(file)
    assert not leftover.exists()
    assert set(tmp_path.iterdir()) == others


def test_texts_are_written_in_utf_8(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "new" / "a.txt", "\u00e9t\u00e9\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"\xc3\xa9t\xc3\xa9\n"


def test_no_other_module_renames_files() -> None:
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _renames(node, node.func):
                found.add(file.relative_to(PACKAGE).as_posix())
    assert found == {"files.py"}


def _renames(call: ast.Call, function: ast.Attribute) -> bool:
    """Returns whether a call renames a file; `str.replace` has two arguments, `Path.replace` one."""
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    if function.attr == "replace":
        return owner == "os" or (len(call.args) == 1 and not call.keywords)
    return function.attr in ("rename", "renames") or (owner, function.attr) == ("shutil", "move")


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"\x80\xff", b"\\\xe9\n", "café".encode()], ids=ascii)
def test_any_file_name_can_be_written_and_read_back(tmp_path: Path, name: bytes) -> None:
    text = os.fsdecode(name)
    write_text_atomically(tmp_path / "a.json", json.dumps([text], ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == [text]
    with open_csv(tmp_path / "a.csv") as handle:
        csv.writer(handle).writerow([text])
    with open_csv(tmp_path / "a.csv", "a") as handle:
        csv.writer(handle).writerow([text])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as handle:
        assert [os.fsencode(unescape_bytes(field)) for row in csv.reader(handle) for field in row] == [name, name]


def test_a_full_disk_is_reported_with_the_file_that_was_written(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    with files_of_at_most(100), pytest.raises(OSError) as raised:  # noqa: PT011  # the system's words differ
        write_text_atomically(file, "x" * 1000)
    reported = mistake_in(raised.value)
    assert reported is not None
    assert str(reported).startswith(f"Can't use {file}: File too large. Raise the limit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "Can't use a file: No space left on device. Free some space",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "runs"),
            "Can't use runs: Read-only file system. Choose another",
        ),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "f/x"), "Can't use f/x: Not a directory. A part of"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), "Can't use f: Permission denied. Check its"),
    ],
)
def test_what_the_system_refuses_is_reported_in_a_paragraph(error: OSError, words: str) -> None:
    wrapped = RuntimeError("while saving")
    wrapped.__cause__ = error
    assert str(mistake_in(error)).startswith(words)
    assert str(mistake_in(wrapped)).startswith(words)
    assert mistake_in(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None  # a fault of the program
