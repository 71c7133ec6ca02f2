import os
from pathlib import Path

import av
import pytest

from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.dataset import RenderedPart, label_space, render_part
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.toyworld.vocabulary import STATES
from ost_lightning.video import read_records


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OST_CACHE", str(tmp_path))
    return tmp_path


def test_a_part_has_the_files_of_an_ordinary_data_set(cache: Path) -> None:
    part = RenderedPart(1, "unseen", "test", 1)
    folder = render_part(part, workers=2)
    assert folder.is_relative_to(cache)
    labels = LabelSpace.load(folder)
    assert labels.names == tuple(action.name for action in draw_classes(1)["unseen"])
    assert labels.descriptors_of("temporal", 4) == tuple(action.temporal for action in draw_classes(1)["unseen"])
    records = read_records(part.list_file, labels.names)
    assert [record.label for record in records] == list(range(20))
    assert all((folder / str(record.path)).is_file() for record in records)


def test_an_existing_part_is_not_rendered_again(cache: Path) -> None:
    part = RenderedPart(0, "order", "test", 1)
    render_part(part, workers=2)
    before = {file: file.stat().st_mtime_ns for file in part.folder.iterdir()}
    render_part(part, workers=2)
    assert {file: file.stat().st_mtime_ns for file in part.folder.iterdir()} == before


def test_a_failure_leaves_no_incomplete_part(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = RenderedPart(0, "order", "test", 1)

    def fail(self: Path, *_: object, **__: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        render_part(part, workers=1)
    assert list(part.folder.parent.iterdir()) == []


def test_two_processes_may_render_the_same_part(cache: Path) -> None:
    part = RenderedPart(0, "order", "test", 1)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                render_part(part, workers=1)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert len(list(part.folder.glob("*.mp4"))) == 20
    assert [path.name for path in part.folder.parent.iterdir()] == [part.folder.name]


def test_a_hard_part_has_flawed_descriptors_and_clean_ones(cache: Path) -> None:
    part = RenderedPart(0, "order", "test", 1, "hard")
    folder = render_part(part, workers=1)
    assert folder.name == "hard-draw0-order-test-1"
    assert part.list_file.is_file()
    written, clean = LabelSpace.load(part.label_folder()), LabelSpace.load(part.label_folder(clean=True))
    assert written.names == clean.names
    assert written.descriptors == label_space(0, "order", "hard").descriptors
    assert clean.descriptors == label_space(0, "order", "hard", clean=True).descriptors != written.descriptors
    assert clean.descriptors[clean.names[0]].temporal == draw_classes(0, "hard")["order"][0].temporal
    with av.open(str(next(folder.glob("*.mp4")))) as container:
        assert container.streams.video[0].frames == 48


def test_the_standard_setting_has_clean_descriptors_only() -> None:
    part = RenderedPart(0, "order", "test", 1)
    assert part.label_folder() == part.label_folder(clean=True) == part.folder
    assert label_space(0, "order").descriptors == label_space(0, "order", clean=True).descriptors


def test_drafts_of_one_action_differ_in_wording_and_flaws() -> None:
    clean, drafts = (
        [label_space(0, "unseen", "hard", clean=clean, draft=number) for number in range(3)] for clean in (True, False)
    )
    assert len({str(one.descriptors) for one in clean}) == len({str(one.descriptors) for one in drafts}) == 3
    for action in draw_classes(0, "hard")["unseen"]:
        for one in clean:  # other words about the same states
            for step, text in zip(action.steps, one.descriptors[action.name].temporal, strict=True):
                assert text in {form.format(prop=action.appearance.prop) for form in STATES[step]}
    assert label_space(0, "unseen", "hard", draft=0) == label_space(0, "unseen", "hard")


def test_label_space_records_its_source() -> None:
    labels = label_space(2, "seen")
    assert len(labels) == 40
    assert "draw 2" in labels.source
    hard = label_space(2, "seen", "hard")
    assert "(hard), draw 2" in hard.source
    assert "flaws" in hard.provenance["source"]
    assert labels.provenance
