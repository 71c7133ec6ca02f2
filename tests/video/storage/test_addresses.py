import io
import os
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path

import fsspec
import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.video import ShardMember, VideoReadError, VideoRoot, read_frames
from ost_lightning.video.storage import ShardIndex, size_and_mtime
from ost_lightning.video.storage.shard_index import INDEX_NAME
from tests.videos import write_video


def write_shard(path: Path, files: Mapping[str, bytes], mode: str = "w", layout: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=layout) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for k in range(4):
        write_video(folder / f"{k}.mp4", 10, seed=k)
    return folder


@pytest.fixture
def shards(videos: Path, tmp_path: Path) -> Path:
    """Two shards: `val/0.mp4` and `val/1.mp4` with a file of labels, and a third video with a very long name."""
    data = [(videos / f"{k}.mp4").read_bytes() for k in range(3)]
    folder = tmp_path / "shards"
    write_shard(folder / "a.tar", {"./val/0.mp4": data[0], "val/0.cls": b"3", "val/1.mp4": data[1]})
    write_shard(folder / "b.tar", {f"val/{'long' * 60}.mp4": data[2]}, layout=tarfile.GNU_FORMAT)
    return folder


def test_paths_are_joined_to_the_root(tmp_path: Path) -> None:
    root = VideoRoot(tmp_path)
    assert root.locate("val/a b.mp4") == f"{tmp_path}/val/a b.mp4"
    assert root.locate("/elsewhere/a.mp4") == "/elsewhere/a.mp4"
    assert root.locate("s3://bucket/a.mp4") == "s3://bucket/a.mp4"


def test_errors_name_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"video folder .*/nowhere does not exist"):
        VideoRoot(tmp_path / "nowhere")


def test_members_are_read_in_place(videos: Path, shards: Path) -> None:
    root = VideoRoot(shards)
    for name, file in (("val/0.mp4", "0.mp4"), ("val/1.mp4", "1.mp4"), (f"val/{'long' * 60}.mp4", "2.mp4")):
        address = root.locate(name)
        assert isinstance(address, ShardMember)
        assert pickle.loads(pickle.dumps(address)) == address  # noqa: S301  # our own bytes
        assert torch.equal(read_frames(address, [7, 2]), read_frames(videos / file, [7, 2]))


def test_members_are_found_by_any_spelling_of_their_path(videos: Path, shards: Path) -> None:
    member = VideoRoot(shards).locate("./val//1.mp4")
    assert isinstance(member, ShardMember)
    written = (shards / "a.tar").stat().st_mtime_ns
    assert size_and_mtime(member) == ((videos / "1.mp4").stat().st_size, written)


def test_one_shard_can_be_the_root(videos: Path, shards: Path) -> None:
    address = VideoRoot(shards / "a.tar").locate("val/1.mp4")
    assert str(address) == f"{shards}/a.tar/val/1.mp4"
    assert torch.equal(read_frames(address, [3]), read_frames(videos / "1.mp4", [3]))


def test_index_is_reused_and_rebuilt_when_shards_change(videos: Path, shards: Path) -> None:
    VideoRoot(shards)
    index = shards / INDEX_NAME
    index.write_text(index.read_text().replace("val/1.mp4", "renamed.mp4"))
    assert isinstance(VideoRoot(shards).locate("renamed.mp4"), ShardMember)  # read, not scanned
    write_shard(shards / "c.tar", {"val/3.mp4": (videos / "3.mp4").read_bytes()})
    root = VideoRoot(shards)
    assert root.locate("renamed.mp4") == f"{shards}/renamed.mp4"
    assert torch.equal(read_frames(root.locate("val/3.mp4"), [0]), read_frames(videos / "3.mp4", [0]))


def test_a_shard_that_has_changed_since_it_was_indexed_is_refused(shards: Path) -> None:
    address = VideoRoot(shards).locate("val/1.mp4")
    data = (shards / "a.tar").read_bytes()
    write_shard(shards / "a.tar", {"x": data[:700], "y": data[700:5000]})
    with pytest.raises(VideoReadError, match=r"a\.tar/val/1\.mp4: .*changed after it was indexed"):
        read_frames(address, [0])


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("prefix", ["", "deep/" * 30, "a" * 90 + "/"])
@pytest.mark.parametrize("remote", [False, True])
def test_members_of_equal_size_in_another_order_are_not_confused(
    videos: Path, tmp_path: Path, layout: int, prefix: str, remote: bool
) -> None:
    data = [(videos / f"{k}.mp4").read_bytes().ljust(20_000, b"\0") for k in (0, 1)]
    files = {f"{prefix}{name}": content for name, content in zip(("one.mp4", "two.mp4"), data, strict=True)}
    write_shard(tmp_path / "a.tar", files, layout=layout)
    memory = fsspec.filesystem("memory")
    url = f"memory://{layout}/{len(prefix)}/a.tar"  # indices of shards at URLs are kept
    memory.pipe(url, (tmp_path / "a.tar").read_bytes())
    root = VideoRoot(url if remote else tmp_path)
    addresses = [root.locate(name) for name in files]
    for address, content in zip(addresses, data, strict=True):
        (tmp_path / "plain.mp4").write_bytes(content)
        assert torch.equal(read_frames(address, [3]), read_frames(tmp_path / "plain.mp4", [3]))
    write_shard(tmp_path / "a.tar", dict(reversed(files.items())), layout=layout)
    memory.pipe(url, (tmp_path / "a.tar").read_bytes())
    for address in addresses:
        with pytest.raises(VideoReadError, match=r"changed after it was indexed"):
            read_frames(address, [3])


ODD_NAMES = [
    b"a\rb.mp4",
    b"a\nb.mp4",
    b"a\r\nb.mp4",
    b"a\tb.mp4",
    b'"a".mp4',
    b"caf\xe9.mp4",
    "café\u2028.mp4".encode(),
]


@pytest.mark.parametrize("name", map(os.fsdecode, ODD_NAMES), ids=ascii)
@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_may_have_any_name(videos: Path, tmp_path: Path, name: str, layout: int) -> None:
    data = (videos / "1.mp4").read_bytes()
    write_shard(tmp_path / f"sh{name}.tar", {f"val/{name}": data, "val/plain.mp4": data}, layout=layout)
    VideoRoot(tmp_path)
    (tmp_path / INDEX_NAME).read_bytes().decode()
    root = VideoRoot(tmp_path)  # by the index that was written
    assert {name, "plain.mp4"} <= (root.names_in("val") or set())
    for member in (f"val/{name}", "val/plain.mp4"):
        assert torch.equal(read_frames(root.locate(member), [2]), read_frames(videos / "1.mp4", [2]))


def test_an_index_with_windows_line_ends_is_read(videos: Path, shards: Path) -> None:
    VideoRoot(shards)
    index = shards / INDEX_NAME
    index.write_bytes(index.read_bytes().replace(b"\n", b"\r\n"))
    assert isinstance(VideoRoot(shards).locate("val/1.mp4"), ShardMember)


def test_an_index_that_is_not_text_is_refused(shards: Path) -> None:
    (shards / INDEX_NAME).write_bytes(b"#\ta.tar\t10\na.tar\t512\t3\tcaf\xe9.mp4\n")
    with pytest.raises(UserError, match=rf"{INDEX_NAME} is not an index of shards: it is not UTF-8 text.* rebuilt"):
        VideoRoot(shards)


def test_errors_name_a_deleted_shard(shards: Path) -> None:
    address = VideoRoot(shards).locate("val/1.mp4")
    (shards / "a.tar").unlink()
    with pytest.raises(VideoReadError, match=r"a\.tar/val/1\.mp4: there is no such file"):
        read_frames(address, [0])


@pytest.mark.parametrize("kind", ["compressed", "text", "cut"])
def test_errors_name_unreadable_shards(tmp_path: Path, kind: str) -> None:
    path = write_shard(tmp_path / "bad.tar", {"a": bytes(20_000)}, "w:gz" if kind == "compressed" else "w")
    if kind != "compressed":
        path.write_bytes(b"no shard" * 200 if kind == "text" else path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"bad\.tar can't be read as a tar shard"):
        VideoRoot(tmp_path)


def test_one_name_in_two_shards_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / f"{name}.tar", {"same.mp4": b"x"})
    with pytest.raises(UserError, match=r"'same\.mp4' is in the shard 'a\.tar' and again in 'b\.tar'"):
        VideoRoot(tmp_path)


def test_errors_name_the_damaged_line_of_an_index(shards: Path) -> None:
    VideoRoot(shards)
    (shards / INDEX_NAME).write_text("#\ta.tar\t10\na.tar\tx\t3\tval/0.mp4\n")
    with pytest.raises(UserError, match=rf"{INDEX_NAME}:2: not a line"):
        VideoRoot(shards)


def test_index_of_a_read_only_folder_is_kept_in_the_cache(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda *_: False)
    VideoRoot(shards)
    assert not (shards / INDEX_NAME).exists()
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 1


def test_urls(videos: Path, shards: Path) -> None:
    """Reads files and shards from fsspec's in-memory file system, like from a bucket."""
    VideoRoot(shards)  # writes the index
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/plain/2.mp4", (videos / "2.mp4").read_bytes())
    for file in shards.iterdir():
        memory.pipe(f"/bucket/shards/{file.name}", file.read_bytes())
    expected = [read_frames(videos / f"{k}.mp4", [1, 8]) for k in (2, 1)]
    plain = VideoRoot("memory://bucket/plain/")
    assert plain.locate("2.mp4") == "memory://bucket/plain/2.mp4"
    assert torch.equal(read_frames(plain.locate("2.mp4"), [1, 8]), expected[0])
    assert torch.equal(read_frames(VideoRoot("memory://bucket/shards").locate("val/1.mp4"), [1, 8]), expected[1])
    assert torch.equal(read_frames(VideoRoot("memory://bucket/shards/a.tar").locate("val/1.mp4"), [1, 8]), expected[1])
    # a path object has swallowed a slash
    assert VideoRoot(Path("memory://bucket/plain")).locate("2.mp4") == "memory://bucket/plain/2.mp4"


@pytest.mark.parametrize("url", ["memory://bucket/missing.mp4", "nosuchprotocol://a/b.mp4", "http://127.0.0.1:9/a.mp4"])
def test_errors_name_unreachable_urls(url: str) -> None:
    with pytest.raises(VideoReadError, match=rf"^{url}: (there is no such file|it can't be fetched)"):
        read_frames(url, [0])


def test_names_of_members_and_loose_files_are_listed(shards: Path) -> None:
    (shards / "val").mkdir()
    (shards / "val" / "loose.mp4").write_bytes(b"x")
    root = VideoRoot(shards)
    assert {"0.mp4", "loose.mp4"} <= (root.names_in("val") or set())
    assert "val" in (root.names_in("") or set())
    assert root.names_in("nowhere") == frozenset()
    assert VideoRoot("memory://bucket/elsewhere").names_in("") is None


def test_unfinished_shards_are_ignored(shards: Path) -> None:
    """Packing that is killed leaves a file with a hidden name."""
    (shards / ".c-0123.partial.tar").write_bytes(b"half")
    assert repr(ShardIndex.of(str(shards))) == "ShardIndex(2 shards, 4 files)"
    (shards.parent / "empty").mkdir()
    (shards.parent / "empty" / ".c-0123.partial.tar").write_bytes(b"half")
    assert VideoRoot(shards.parent / "empty").locate("a.mp4") == f"{shards.parent}/empty/a.mp4"


def test_errors_name_a_video_without_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert size_and_mtime(tmp_path / "nowhere.mp4") == (0, 0)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UserError, match=r"a\.mp4 can't be accessed \(.*Permission denied\)\. Check its permissions"):
        size_and_mtime("a.mp4")
