from pathlib import Path

import pytest
import torch

from ost_lightning.evaluation import (
    CachedClips,
    EmbeddedBatch,
    EmbeddingCache,
    EmbeddingStore,
    EvaluationLoader,
    EvaluationSet,
    KeyedClipBatch,
)
from ost_lightning.models import ClipKeys
from ost_lightning.text import LabelSpace
from ost_lightning.video import (
    EvaluationClips,
    EvaluationSampler,
    EvaluationTransform,
    FrameSampler,
    SampleKey,
    VideoRecord,
    collate_clips,
)
from tests.videos import write_video

WEIGHTS = {"as trained": "a" * 32, "ensembled_0.2": "b" * 32}


class Counted(EvaluationClips):
    """Records which videos are opened, and can refuse to open any."""

    _refuse = False

    def __getitem__(self, key: SampleKey) -> object:
        if self._refuse:
            raise AssertionError("opened")
        self._opened = [*getattr(self, "_opened", []), key.index]
        return super().__getitem__(key)


@pytest.fixture
def clips(tmp_path: Path) -> Counted:
    records = []
    for k in range(4):
        path = write_video(tmp_path / f"{k}.mp4", 6, width=64, height=64, seed=k)
        records.append(VideoRecord(path, k % 2, f"{k}.mp4"))
    return Counted(records, sampler=FrameSampler(4, 2), transform=EvaluationTransform(48), short_side=54)


def fill(clips: EvaluationClips, cache: EmbeddingCache, videos: list[int]) -> None:
    for k in videos:
        for fingerprint in WEIGHTS.values():
            embedded = torch.full((2, 4, 8), float(k)) + (fingerprint == "b" * 32) / 2
            cache.store(fingerprint, ClipKeys(clips).of(clips.records[k]), embedded)


def loaded(clips: EvaluationClips, cache: EmbeddingCache, workers: int = 0) -> list:
    store = EmbeddingStore(cache)
    loader = EvaluationLoader(
        clips,
        set=EvaluationSet("own", LabelSpace(("a", "b")), len(clips)),
        store=store,
        batch_size=2,
        sampler=EvaluationSampler(len(clips)),
        num_workers=workers,
    )
    batches = iter(loader)
    store.open(WEIGHTS)  # as in a task: after the loader's iterator is created, before its first batch
    return list(batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_is_opened_when_all_embeddings_are_cached(tmp_path: Path, clips: Counted, workers: int) -> None:
    cache = EmbeddingCache(tmp_path / "cache", 10**9)
    fill(clips, cache, [0, 1, 2, 3])
    clips._refuse = True
    first, second = loaded(clips, cache, workers)
    assert not hasattr(clips, "_opened")
    assert isinstance(first, EmbeddedBatch)
    assert len(first) == 2
    assert first.decoded.all()
    assert second.ids == ("2.mp4", "3.mp4")
    assert second.labels.tolist() == [0, 1]
    assert second.embeddings["as trained"][:, 0, 0, 0].tolist() == [2, 3]
    assert second.embeddings["ensembled_0.2"][:, 0, 0, 0].tolist() == [2.5, 3.5]
    moved = second.to("meta")
    assert {embedded.device.type for embedded in moved.embeddings.values()} == {"meta"}
    assert moved.labels.device.type == "meta"


def test_a_batch_that_is_partly_cached_is_decoded_completely(tmp_path: Path, clips: Counted) -> None:
    cache = EmbeddingCache(tmp_path / "cache", 10**9)
    fill(clips, cache, [0, 2, 3])
    first, second = loaded(clips, cache)
    assert sorted(clips._opened) == [0, 1]
    expected = collate_clips([EvaluationClips.__getitem__(clips, SampleKey(k, 0)) for k in (0, 1)])
    assert torch.equal(first.frames, expected.frames)
    assert isinstance(first, KeyedClipBatch)
    assert first.ids == expected.ids
    assert list(first.keys) == [ClipKeys(clips).of(record) for record in clips.records[:2]]
    assert set(second.embeddings) == set(WEIGHTS)


def test_all_sets_of_weights_have_to_be_cached(tmp_path: Path, clips: Counted) -> None:
    cache = EmbeddingCache(tmp_path / "cache", 10**9)
    for record in clips.records:
        cache.store(WEIGHTS["as trained"], ClipKeys(clips).of(record), torch.ones(2, 4, 8))
    assert all(isinstance(batch, KeyedClipBatch) for batch in loaded(clips, cache))


def test_unreadable_videos_are_reported_each_time_without_decoding_others(tmp_path: Path, clips: Counted) -> None:
    cache = EmbeddingCache(tmp_path / "cache", 10**9)
    clips.records[1].path.write_bytes(b"broken")
    clips.records[2].path.unlink()
    fill(clips, cache, [0, 3])
    for batch, (good, bad) in zip(loaded(clips, cache), [(0, 1), (3, 2)], strict=True):
        assert [failure.id for failure in batch.failures] == [f"{bad}.mp4"]
        assert batch.embeddings["as trained"].shape == (1, 2, 4, 8)
        assert float(batch.embeddings["as trained"].mean()) == good
        assert batch.decoded.tolist() == [id_ == f"{good}.mp4" for id_ in batch.ids]
    assert sorted(clips._opened) == [1, 2]


def test_batches_without_any_readable_video(tmp_path: Path, clips: Counted) -> None:
    for record in clips.records:
        record.path.write_bytes(b"broken")
    for batch in loaded(clips, EmbeddingCache(tmp_path / "cache", 10**9)):
        assert not batch.decoded.any()
        assert len(batch.failures) == 2
        assert isinstance(batch, KeyedClipBatch)


def test_a_store_that_is_not_open_finds_and_stores_nothing(tmp_path: Path, clips: Counted) -> None:
    cache = EmbeddingCache(tmp_path / "cache", 10**9)
    fill(clips, cache, [0, 1, 2, 3])
    closed = EmbeddingStore(cache)
    batch = CachedClips(clips, closed).__getitems__([SampleKey(0, 0)])
    assert isinstance(batch, KeyedClipBatch)
    size = cache.size()
    closed.save("as trained", batch.keys, torch.ones(1, 2, 4, 8))
    assert cache.size() == size
