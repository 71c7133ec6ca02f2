import pytest

from ost_lightning.datamodules import ToyWorld
from ost_lightning.errors import UserError


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


@pytest.mark.parametrize("wrong", [{"draw": 5}, {"draw": -1}, {"train_clips": 0}])
def test_parts_that_the_world_does_not_have(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="choose a draw from 0 to 4 and at least one video"):
        ToyWorld(**wrong)
