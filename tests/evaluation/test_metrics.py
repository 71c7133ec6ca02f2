import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from ost_lightning.errors import NonFiniteError
from ost_lightning.evaluation.metrics import ConfusionCounts, OrderHits, RecognitionAccuracy


@settings(max_examples=30)
@given(videos=st.integers(1, 40), classes=st.integers(5, 12), seed=st.integers(0, 99), batch=st.integers(1, 9))
def test_accuracy_is_the_micro_average(videos: int, classes: int, seed: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(videos, classes, generator=generator)
    labels = torch.randint(0, classes, (videos,), generator=generator)
    ours = RecognitionAccuracy()
    for part, truth in zip(scores.split(batch), labels.split(batch), strict=True):
        ours.update(part, truth)
    result = ours.compute()
    for key, top in (("top1", 1), ("top5", 5)):
        reference = MulticlassAccuracy(num_classes=classes, average="micro", top_k=top)
        torch.testing.assert_close(result[key], reference(scores, labels))
    assert int(result["videos"]) == videos


def test_unreadable_videos_count_as_wrong() -> None:
    metric = RecognitionAccuracy()
    metric.update(torch.eye(6), torch.arange(6), undecodable=2)
    metric.update(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64), undecodable=2)
    result = {key: float(value) for key, value in metric.compute().items()}
    assert result == pytest.approx({"top1": 6 / 10, "top5": 6 / 10, "videos": 10, "undecodable": 4})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_have_no_accuracy(bad: float) -> None:
    metric = RecognitionAccuracy()
    for _ in range(2):
        scores = torch.rand(8, 6)
        scores[3, 2] = bad
        metric.update(scores, torch.zeros(8, dtype=torch.int64))
    with pytest.raises(NonFiniteError, match=r"The scores of 2 of 16 videos are not finite"):
        metric.compute()


def test_counting_never_waits_for_the_device() -> None:
    metric = RecognitionAccuracy().to("meta")  # whose values can't be read
    metric.update(torch.rand(8, 6, device="meta"), torch.zeros(8, dtype=torch.int64, device="meta"), undecodable=1)


def test_fewer_than_five_classes() -> None:
    metric = RecognitionAccuracy()
    metric.update(torch.rand(8, 3), torch.randint(0, 3, (8,)))
    assert float(metric.compute()["top5"]) == 1


def test_nothing_scored_is_zero_not_nan() -> None:
    metric = RecognitionAccuracy()
    metric.update(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64))
    assert float(metric.compute()["top1"]) == 0


def test_confusion_counts_what_the_reference_counts_and_the_unreadable_videos() -> None:
    scores, labels = torch.rand(50, 6), torch.randint(0, 6, (50,))
    counts = ConfusionCounts(6)
    for part, truth in zip(scores.split(7), labels.split(7), strict=True):
        counts.update(part, truth)
    counts.update(scores[:0], labels[:0], torch.tensor([3, 3, 0]))
    matrix = torch.zeros(6, 7, dtype=torch.int64)
    for label, guess, count in counts.compute().tolist():
        matrix[label, guess] = count
    torch.testing.assert_close(matrix[:, :6], MulticlassConfusionMatrix(6)(scores, labels))
    assert matrix[:, -1].tolist() == [1, 0, 0, 2, 0, 0]


def test_confusion_takes_memory_for_videos_but_not_for_pairs_of_classes() -> None:
    counts = ConfusionCounts(20_000)
    counts.update(torch.eye(20_000)[-3:], torch.tensor([0, 19_998, 19_998]), torch.tensor([7]))
    assert sum(cells.numel() for cells in counts.cells) == 4
    rows = [[0, 19_997, 1], [7, -1, 1], [19_998, 19_998, 1], [19_998, 19_999, 1]]
    assert counts.compute().tolist() == rows
    counts.reset()
    assert not sum(cells.numel() for cells in counts.cells)


def test_confusion_of_many_batches_is_held_in_few_tensors_and_never_waits_for_the_device() -> None:
    counts = ConfusionCounts(3)
    for batch in range(100):
        counts.update(torch.eye(3), torch.tensor([0, 1, batch % 3]))
    assert len(counts.cells) < 10
    assert counts.compute().tolist() == [[0, 0, 100], [0, 2, 34], [1, 1, 100], [1, 2, 33], [2, 2, 33]]
    elsewhere = ConfusionCounts(3).to("meta")  # whose values can't be read
    for _ in range(2):
        elsewhere.update(torch.rand(8, 3, device="meta"), torch.zeros(8, dtype=torch.int64, device="meta"))


def test_confusion_of_one_class() -> None:
    counts = ConfusionCounts(1)
    counts.update(torch.ones(2, 1), torch.tensor([0, 0]))
    assert counts.compute().tolist() == [[0, 0, 2]]


def test_confusion_is_added_up_over_processes_also_if_one_has_no_videos() -> None:
    mine, theirs = ConfusionCounts(3), ConfusionCounts(3)
    mine.update(torch.eye(3), torch.tensor([0, 0, 2]))

    def gathered(own: Tensor, group: object) -> list[Tensor]:
        other = torch.cat(list(theirs.cells))
        assert other.dtype == own.dtype  # otherwise the exchange fails
        return [own, other]

    mine.dist_sync_fn, mine.distributed_available_fn = gathered, lambda: True
    assert mine.compute().tolist() == [[0, 0, 1], [0, 1, 1], [2, 2, 1]]


@settings(max_examples=20)
@given(videos=st.integers(2, 40), shuffles=st.integers(1, 4), batch=st.integers(1, 9), seed=st.integers(0, 99))
def test_hits_in_several_orders(videos: int, shuffles: int, batch: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(2 + shuffles, videos, 3, generator=generator)
    labels = torch.randint(0, 3, (videos,), generator=generator)
    metric = OrderHits(2 + shuffles, slice(2, None), 3)
    for part, truth in zip(scores.split(batch, dim=1), labels.split(batch), strict=True):
        metric.update(part, truth)
    metric.update(scores[:, :0], labels[:0], unreadable=torch.tensor([2]))
    found = metric.compute()
    hits = (scores.argmax(2) == labels).double()
    for k in range(3):
        assert found["right"][:, k].tolist() == hits[:, labels == k].sum(1).tolist()
    assert found["videos"].tolist() == [int((labels == k).sum()) + (k == 2) for k in range(3)]
    # the unreadable video is wrong in every order
    lead = torch.cat([hits[0] - hits[2:].mean(0), torch.zeros(1)])
    torch.testing.assert_close(found["error"], lead.std(correction=0) / (videos + 1) ** 0.5)
