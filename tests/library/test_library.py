"""Libraries: opened, created, refused."""

import builtins
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.library import Library, SegmentSettings, SegmentTable, TableSettings, table_digest
from ost_lightning.models import VideoCLIP

pytest.importorskip("lance", reason="needs the extra `library`")


def test_a_library_has_one_table_per_digest(tmp_path: Path, settings: TableSettings) -> None:
    library = Library.open(tmp_path / "library", create=True)
    with pytest.raises(UserError, match="is empty: index videos first"):
        library.table()
    library.create_table(settings)
    assert Library.open(tmp_path / "library").table().settings == settings
    other = replace(settings, digest="f" * 16, weights="another")
    library.create_table(other)
    assert library.tables == [other, settings]
    assert library.table(settings.digest).settings == settings
    for digest in (None, "e" * 16):
        with pytest.raises(UserError, match=rf"has 2 tables.*{settings.digest} \(tiny, 8 frames\)"):
            library.table(digest)


def test_a_folder_whose_name_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not UTF-8, which Lance can't open"):
        Library.open(tmp_path / "caf\udce9", create=True)
    assert not list(tmp_path.iterdir())


def test_only_a_library_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a library of videos"):
        Library.open(tmp_path / "missing")
    (tmp_path / "clips").mkdir()
    Library.open(tmp_path / "clips", create=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a.txt").touch()
    with pytest.raises(UserError, match="choose a new folder"):
        Library.open(tmp_path / "full", create=True)
    (tmp_path / "clips/library.json").write_text("{}")
    with pytest.raises(UserError, match="can't be read"):
        Library.open(tmp_path / "clips")


def test_another_version_is_refused(table: SegmentTable) -> None:
    folder = table.folder.parents[1]
    for file, key in ((folder / "library.json", "version"), (table.folder / "settings.json", "schema_version")):
        before = file.read_text()
        file.write_text(json.dumps(json.loads(before) | {key: 2}))
        with pytest.raises(UserError, match=r"of version 2 .* reads version 1: use the version of ost-lightning"):
            Library.open(folder).table()
        file.write_text(before)
    table.dataset.update_schema_metadata({"ost_lightning.schema_version": "3"}, replace=True)
    with pytest.raises(UserError, match="of version 3"):
        Library.open(folder).table()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"segments": SegmentSettings(lengths=(2.0, 4.0), precision="float32")}, "lengths is (2.0, 4.0), in the"),
        ({"segments": SegmentSettings()}, "precision is float16, in the table float32"),
        ({"frames": 16}, "frames is 16, in the table 8"),
    ],
)
def test_other_segments_are_refused(table: SegmentTable, changed: dict[str, Any], said: str) -> None:
    library = Library.open(table.folder.parents[1])
    with pytest.raises(UserError) as caught:
        library.create_table(replace(table.settings, **changed))
    assert said in str(caught.value)
    assert "Index with the table's settings, or into another library" in str(caught.value)


def test_the_digest_depends_on_weights_and_clips_and_not_on_augmentation(video_clip: VideoCLIP) -> None:
    clips = ClipSettings(frames=8).with_defaults_from(video_clip.preprocessing)
    digest = table_digest(video_clip, clips)
    assert table_digest(video_clip, replace(clips, flip=0.1, views=4)) == digest
    others = [replace(clips, frames=16), replace(clips, crop_offsets="floor"), replace(clips, resize="bilinear")]
    others.append(replace(clips, stride=2))
    assert len({digest, *(table_digest(video_clip, other) for other in others)}) == 5
    assert table_digest(video_clip, clips, "0" * 32) != digest


def test_a_damaged_table_is_named(table: SegmentTable) -> None:
    shutil.rmtree(table.folder / "segments.lance/_versions")
    with pytest.raises(UserError, match=r"segments\.lance can't be read as a Lance dataset"):
        SegmentTable(table.folder)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    normal = builtins.__import__

    def without_lance(name: str, *args: Any, **options: Any) -> Any:
        if name == "lance":
            raise ImportError(name)
        return normal(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_lance)
    with pytest.raises(UserError, match=r"pip install 'ost-lightning\[library\]'"):
        Library.open(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"stride": 0.0}, {"rate": float("inf")}, {"lengths": ()}, {"lengths": (-1.0,)}, {"longest_clip": -1.0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected"):
        SegmentSettings(**wrong)
