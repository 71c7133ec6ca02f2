import tarfile
from pathlib import Path

import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.video import VideoRoot, read_frames
from ost_lightning.video.maintenance.shard_writer import Shard, plan_shards, write_shards
from tests.videos import write_video


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    """Five videos in shards of about two."""
    files = {f"val/{k} ü.mp4": write_video(tmp_path / "videos" / f"{k}.mp4", 6, seed=k) for k in range(5)}
    size = next(iter(files.values())).stat().st_size
    return plan_shards(files, tmp_path / "shards", size * 3 // 2)


def test_packed_videos_are_read_in_place(shards: list[Shard], tmp_path: Path) -> None:
    assert 2 <= len(shards) < 5
    assert write_shards(shards) == len(shards)
    root = VideoRoot(tmp_path / "shards")
    for shard in shards:
        for name, file in shard.files.items():
            assert torch.equal(read_frames(root.locate(name), [4, 1]), read_frames(file, [4, 1]))


def test_writing_resumes_and_gives_the_same_bytes(shards: list[Shard]) -> None:
    write_shards(shards)
    before = {shard.path: shard.path.read_bytes() for shard in shards}
    assert write_shards(shards) == 0
    shards[1].path.unlink()
    assert write_shards(shards, workers=1) == 1
    assert {shard.path: shard.path.read_bytes() for shard in shards} == before
    with tarfile.open(shards[0].path) as tar:
        assert tar.getnames() == list(shards[0].files)


def test_changed_files_are_packed_again(shards: list[Shard]) -> None:
    write_shards(shards)
    name, file = next(iter(shards[0].files.items()))
    write_video(file, 9)
    assert write_shards(shards) == 1
    assert len(read_frames(VideoRoot(shards[0].path.parent).locate(name), range(9))) == 9


def test_missing_files_and_other_shards_are_refused(shards: list[Shard], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.mp4 can't be put into a shard"):
        plan_shards({"gone.mp4": tmp_path / "gone.mp4"}, tmp_path / "x", 100)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / ".000000-0123.partial.tar").write_bytes(b"left by a killed run")
    (tmp_path / "shards" / "other.tar").write_bytes(b"")
    with pytest.raises(UserError, match=r"contains other shards \(other\.tar\)"):
        write_shards(shards)
    assert not (tmp_path / "shards" / "000000.tar").exists()
    (tmp_path / "shards" / "other.tar").unlink()
    assert write_shards(shards) == len(shards)


def test_errors_name_the_shard_of_a_killed_process(shards: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ost_lightning.video.maintenance.shard_writer.map_in_processes",
        lambda work, items, workers, when_killed: map(when_killed, items),
    )
    with pytest.raises(UserError, match=r"The process that wrote .*000000\.tar was killed\. Run the command again"):
        write_shards(shards, workers=1)
