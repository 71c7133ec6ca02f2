from pathlib import Path

import pytest

from ost_lightning.datamodules import ToyWorld, toyworld
from ost_lightning.errors import UserError
from ost_lightning.toyworld.dataset import RenderedPart, label_space


def test_seen_classes_are_trained_and_unseen_ones_tested() -> None:
    world = ToyWorld(train_clips=1, test_clips=1, test_sets=["unseen", "order"])
    world.prepare_data()
    training = world.training_videos()
    assert len(training.records) == len(training.labels) == 40
    validation, test = world.evaluation_videos("val"), world.evaluation_videos("test")
    assert list(validation) == ["seen"]
    assert validation["seen"].labels.names == training.labels.names
    assert {record.path for record in validation["seen"].records}.isdisjoint(record.path for record in training.records)
    assert {name: len(videos.records) for name, videos in test.items()} == {"unseen": 20, "order": 20}
    assert set(test["unseen"].labels.names).isdisjoint(training.labels.names)


def test_hard_setting_with_flawed_or_clean_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OST_CACHE", str(tmp_path))
    rendered: list[RenderedPart] = []

    def describe(part: RenderedPart) -> None:
        rendered.append(part)
        part.label_folder(clean=True).mkdir(parents=True)
        for clean in (False, True):
            label_space(part.draw, part.group, part.difficulty, clean).save(part.label_folder(clean))
        part.list_file.write_text("a.mp4 0\n")

    monkeypatch.setattr(toyworld, "render_part", describe)
    flawed, clean = (
        ToyWorld(1, 1, 1, ("order",), difficulty="hard", clean_descriptors=clean) for clean in (False, True)
    )
    flawed.prepare_data()
    assert {part.folder.name for part in rendered} == {
        "hard-draw1-seen-train-1",
        "hard-draw1-seen-test-1",
        "hard-draw1-order-test-1",
    }
    assert flawed.world == "rendered world, hard"
    spaces = [data.evaluation_videos("test")["order"].labels for data in (flawed, clean)]
    assert spaces[0].names == spaces[1].names
    assert spaces[0].descriptors != spaces[1].descriptors
    assert spaces[1].descriptors == label_space(1, "order", "hard", clean=True).descriptors


@pytest.mark.parametrize("wrong", [{"draw": 5}, {"draw": -1}, {"train_clips": 0}])
def test_parts_that_the_world_does_not_have(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="choose a draw from 0 to 4 and at least one video"):
        ToyWorld(**wrong)
