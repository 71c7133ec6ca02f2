from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from ost_lightning.datamodules import ClipSettings, LoadingSettings, UndecodableVideoWarning, VideoList, VideoLists
from ost_lightning.errors import UserError
from ost_lightning.video import ClipBatch, CropSpec, EvaluationTransform
from tests.videos import write_video

CLIPS = ClipSettings(frames=4, short_side=40, crop_size=32)


class Collector(LightningModule):
    """Records the batches; trains one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[tuple[int, tuple[str, ...]]] = []
        self.updates = 0

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        self.batches.append((self.current_epoch, batch.ids))
        return self.weight * batch.frames.float().mean()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.updates += 1

    def test_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.batches.append((dataloader_idx, batch.ids))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of two classes, and lists; the fourth list names a broken one."""
    folder = tmp_path_factory.mktemp("videos")
    for k in range(8):
        write_video(folder / f"{k}.mp4", 8, seed=k)
    (folder / "broken.mp4").write_bytes(b"x")
    (folder / "classes.txt").write_text("first\nsecond\n")
    (folder / "train.txt").write_text("".join(f"{k}.mp4 {k % 2}\n" for k in range(8)))
    (folder / "a.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\n")
    (folder / "b.csv").write_text("path,label\n3.mp4,second\n")
    (folder / "with_broken.txt").write_text("0.mp4 0\nbroken.mp4 1\n2.mp4 0\n")
    (folder / "train_broken.txt").write_text("".join(f"{k}.mp4 {k % 2}\n" for k in range(7)) + "broken.mp4 1\n")
    (folder / "hopeless.txt").write_text("0.mp4 0\nbroken.mp4 1\n")
    return folder


def data(folder: Path, train: str = "train.txt", tests: Sequence[str] = (), **loading: object) -> VideoLists:
    settings = LoadingSettings(**{"global_batch_size": 4, "evaluation_batch_size": 2, "workers": 0, **loading})
    sets = {name: VideoList(folder / name, str(folder)) for name in tests}
    return VideoLists(folder, VideoList(folder / train, str(folder)), test=sets, clips=CLIPS, loading=settings)


def trainer(folder: Path, **options: object) -> Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return Trainer(**{"accelerator": "cpu", "default_root_dir": folder, **quiet, **options})


def test_epochs_are_shuffled_anew_and_complete(videos: Path, tmp_path: Path) -> None:
    module = Collector()
    trainer(tmp_path, max_epochs=2).fit(module, datamodule=data(videos))
    epochs = [[id_ for epoch, ids in module.batches if epoch == wanted for id_ in ids] for wanted in (0, 1)]
    for order in epochs:
        assert sorted(order) == [f"{k}.mp4" for k in range(8)]
    assert epochs[0] != epochs[1]


def test_seed_everything_decides_the_order(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    for seed in ("3", "3", "4"):
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        module = Collector()
        trainer(tmp_path, max_epochs=1).fit(module, datamodule=data(videos))
        orders.append(module.batches)
    assert orders[0] == orders[1] != orders[2]


def test_accumulation_follows_from_the_batch_sizes(videos: Path, tmp_path: Path) -> None:
    module = Collector()
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, datamodule=data(videos, global_batch_size=8, max_videos_per_device=2))
    assert run.accumulate_grad_batches == 4
    assert [len(ids) for _, ids in module.batches] == [2, 2, 2, 2]
    assert module.updates == 1


def test_contradicting_accumulation_is_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"accumulate_grad_batches is 3, but .*1 device x 2 videos x 2 accum"):
        trainer(tmp_path, accumulate_grad_batches=3).fit(Collector(), datamodule=data(videos, max_videos_per_device=2))


def test_too_few_videos_for_a_batch(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 8 videos, fewer than .*batch_size \(9\)\. Set .* to 8 or less"):
        trainer(tmp_path).fit(Collector(), datamodule=data(videos, global_batch_size=9))


def test_every_evaluation_set_is_visited_once_in_its_order(videos: Path, tmp_path: Path) -> None:
    module = Collector()
    lists = data(videos, tests=["a.txt", "b.csv"])
    trainer(tmp_path).test(module, datamodule=lists, verbose=False)
    assert module.batches == [(0, ("0.mp4", "1.mp4")), (0, ("2.mp4",)), (1, ("3.mp4",))]
    assert list(lists.evaluation_labels("test")) == ["a.txt", "b.csv"]


def test_broken_video_stops_an_evaluation_unless_counted_as_wrong(videos: Path, tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="broken"),
        pytest.raises(UserError, match=r"broken\.mp4: not a readable .*on_decode_error count"),
    ):
        trainer(tmp_path).test(Collector(), datamodule=data(videos, tests=["with_broken.txt"]), verbose=False)
    module = Collector()
    lists = data(videos, tests=["with_broken.txt"], on_decode_error="count")
    with pytest.warns(UserWarning, match="broken"):
        trainer(tmp_path, default_root_dir=tmp_path).test(module, datamodule=lists, verbose=False)
    assert [ids for _, ids in module.batches] == [("0.mp4", "broken.mp4"), ("2.mp4",)]
    assert "broken.mp4" in next(tmp_path.rglob("undecodable-0.csv")).read_text()


def test_broken_training_video_is_named_counted_and_replaced(videos: Path, tmp_path: Path) -> None:
    module, lists = Collector(), data(videos, "train_broken.txt")
    with pytest.warns(UserWarning, match=r"broken\.mp4"):
        trainer(tmp_path, max_epochs=1).fit(module, datamodule=lists)
    ids = [id_ for _, batch in module.batches for id_ in batch]
    assert len(ids) == 8
    assert "broken.mp4" not in ids
    assert list(lists.report.reasons) == ["broken.mp4"]


def test_limit_of_broken_training_videos(videos: Path, tmp_path: Path) -> None:
    with (
        pytest.warns(UndecodableVideoWarning),
        pytest.raises(UserError, match="1 video could not be read, more than the 0 allowed"),
    ):
        trainer(tmp_path, max_epochs=1).fit(Collector(), datamodule=data(videos, "train_broken.txt", max_undecodable=0))


def test_class_without_a_readable_training_video(videos: Path, tmp_path: Path) -> None:
    with (
        pytest.warns(UndecodableVideoWarning),
        pytest.raises(UserError, match="Neither a training video nor any of its replacements"),
    ):
        trainer(tmp_path, max_epochs=1).fit(Collector(), datamodule=data(videos, "hopeless.txt", global_batch_size=2))


def test_settings_without_videos(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing to test: the data has no test set\. Add one with the data's `test`"):
        trainer(tmp_path).test(Collector(), datamodule=data(videos), verbose=False)
    with pytest.raises(UserError, match=r"nothing to predict: the data has no test set\. Add one with .* `test`"):
        data(videos).setup("predict")
    with pytest.raises(UserError, match=r"nothing to validate: the data has no validation set\. Add one with .* `val`"):
        data(videos).setup("validate")
    with pytest.raises(UserError, match="nothing to train on"):
        trainer(tmp_path).fit(Collector(), datamodule=VideoLists(videos, clips=CLIPS))


@pytest.mark.parametrize("on_missing", ["stop", "skip"])
def test_missing_videos_are_reported_with_a_remedy(videos: Path, tmp_path: Path, on_missing: str) -> None:
    def message(lines: str) -> str:
        (tmp_path / "list.txt").write_text(lines)
        listed = {"own": VideoList(tmp_path / "list.txt", str(videos))}
        loading = LoadingSettings(workers=0, on_missing=on_missing)
        with pytest.raises(UserError, match="are missing") as caught:
            VideoLists(videos, test=listed, clips=CLIPS, loading=loading).setup("test")
        return str(caught.value)

    none = message("x.mp4 0\ny.mp4 0\n")
    assert "2 of 2" in none
    assert none.endswith("Set the data's `root` to the folder of the videos.")
    assert "must use / between folders" in message("sub\\0.mp4 0\n")
    if on_missing == "stop":
        found = message("0.mp4 0\ny.mp4 0\n")
        assert found.endswith("continue with the 1 that exist: --data.loading.on_missing skip.")


def _failing(self: EvaluationTransform, height: int, width: int) -> CropSpec:
    raise UserError(f"frames of {height} x {width} pixels")


def test_errors_in_a_worker_arrive_unchanged(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvaluationTransform, "crop_spec", _failing)
    lists = data(videos, tests=["a.txt"], workers=1, start_method="fork")
    with pytest.raises(UserError, match=r"^frames of 40 x 53 pixels"):
        trainer(tmp_path).test(Collector(), datamodule=lists, verbose=False)


def test_several_views_and_crops(videos: Path, tmp_path: Path) -> None:
    shapes = []

    class Shapes(Collector):
        def test_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
            shapes.append(tuple(batch.frames.shape))

    lists = data(videos, tests=["b.csv"])
    lists.clips = ClipSettings(frames=4, short_side=40, crop_size=32, views=2, crops=3)
    trainer(tmp_path).test(Shapes(), datamodule=lists, verbose=False)
    assert shapes == [(1, 6, 4, 3, 32, 32)]


def test_random_views_are_for_several_views_only(videos: Path, tmp_path: Path) -> None:
    def frames(views: int, view_frames: str, seed: int = 0) -> Tensor:
        lists = data(videos, tests=["b.csv"], seed=seed)
        lists.clips = ClipSettings(frames=2, short_side=40, crop_size=32, views=views, view_frames=view_frames)
        lists.setup("test")
        (batch,) = lists.test_dataloader()[0]
        assert isinstance(batch, ClipBatch)
        return batch.frames

    assert torch.equal(frames(1, "random"), frames(1, "spread"))
    assert not torch.equal(frames(3, "random"), frames(3, "spread"))
    assert torch.equal(frames(3, "random", seed=1), frames(3, "random", seed=1))
    assert not torch.equal(frames(3, "random", seed=1), frames(3, "random", seed=2))


def test_shots_are_drawn_from_the_training_list(videos: Path) -> None:
    lists = VideoLists(videos, VideoList(videos / "train.txt", str(videos)), shots=2, clips=CLIPS)
    labels = [record.label for record in lists.training_videos().records]
    assert sorted(labels) == [0, 0, 1, 1]
    with pytest.raises(UserError, match="fewer than 5 videos"):
        VideoLists(videos, VideoList(videos / "train.txt", str(videos)), shots=5, clips=CLIPS).training_videos()


def test_prediction_needs_no_labels(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "paths.txt").write_text("0.mp4\n")
    lists = VideoLists("nowhere", test={"own": VideoList(tmp_path / "paths.txt", str(videos), root=str(videos))})
    predicted = lists.evaluation_videos("predict")["own"]
    assert [(record.label, str(record.path)) for record in predicted.found] == [(-1, f"{videos}/0.mp4")]
    with pytest.raises(UserError, match=r"paths\.txt:1: '0\.mp4' has no label"):
        lists.evaluation_videos("test")


def test_shots_follow_the_seed(videos: Path) -> None:
    def drawn(seed: int) -> list[str]:
        loading = LoadingSettings(seed=seed)
        train = VideoList(videos / "train.txt", str(videos))
        return [
            record.id for record in VideoLists(str(videos), train, shots=1, loading=loading).training_videos().records
        ]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1
