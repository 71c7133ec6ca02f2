import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.evaluation import EmbeddingCache, EmbeddingCacheWarning

WEIGHTS, OTHERS = "a" * 32, "b" * 32
MUCH = 10**9


def key(number: int) -> str:
    return f"{number:032x}"


def embeddings(seed: int = 0, frames: int = 4) -> torch.Tensor:
    return torch.randn(1, frames, 8, generator=torch.Generator().manual_seed(seed))


def file_of(folder: Path) -> Path:
    (path,) = folder.rglob("*.safetensors")
    return path


def test_loaded_embeddings_are_bit_identical(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache", MUCH)
    assert cache.load(WEIGHTS, key(1)) is None
    stored = embeddings()[:, ::2]  # not contiguous
    cache.store(WEIGHTS, key(1), stored)
    assert torch.equal(EmbeddingCache(tmp_path / "cache", MUCH).load(WEIGHTS, key(1)), stored)
    # other weights and other clips have their own files
    assert cache.load(OTHERS, key(1)) is None
    assert cache.load(WEIGHTS, key(2)) is None
    assert cache.size() == file_of(tmp_path).stat().st_size


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text", "moved"])
def test_damaged_files_are_reported_and_deleted(tmp_path: Path, damage: str) -> None:
    cache = EmbeddingCache(tmp_path, MUCH)
    cache.store(WEIGHTS, key(1), embeddings())
    path = file_of(tmp_path)
    content = path.read_bytes()
    if damage == "moved":  # an intact file under the name of another clip
        path = path.rename(path.with_name(path.name.replace(key(1), key(2))))
    else:
        flipped = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
        path.write_bytes({"truncated": content[:-5], "empty": b"", "flipped": flipped, "text": b"not tensors"}[damage])
    requested = key(2) if damage == "moved" else key(1)
    with pytest.warns(EmbeddingCacheWarning, match=rf"{path} is damaged .*encoding its video again"):
        assert cache.load(WEIGHTS, requested) is None
    assert not path.exists()
    cache.store(WEIGHTS, requested, embeddings())
    assert torch.equal(cache.load(WEIGHTS, requested), embeddings())


@given(sizes=st.lists(st.integers(1, 64), min_size=1, max_size=30), bound=st.integers(200, 6000))
@settings(max_examples=40)
def test_the_size_limit_holds_after_every_step(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], bound: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = EmbeddingCache(folder, bound)
    for number, frames in enumerate(sizes):
        cache.store(WEIGHTS, key(number), embeddings(number, frames))
        assert cache.size() <= bound
        alone = EmbeddingCache(folder.with_name(f"{folder.name}-alone"), MUCH)
        alone.store(WEIGHTS, key(number), embeddings(number, frames))
        fits = file_size(alone, number) <= 0.9 * bound
        if fits:  # the newest file is never evicted
            assert torch.equal(cache.load(WEIGHTS, key(number)), embeddings(number, frames))


def file_size(cache: EmbeddingCache, number: int) -> int:
    return (cache.folder / WEIGHTS / key(number)[:2] / f"{key(number)}.safetensors").stat().st_size


def test_the_least_recently_used_are_evicted_first(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, MUCH).store(WEIGHTS, key(0), embeddings())
    size = file_of(tmp_path).stat().st_size
    cache = EmbeddingCache(tmp_path, 10 * size)
    for number in range(9):
        cache.store(WEIGHTS, key(number), embeddings(number))
        age(tmp_path, number, seconds=100 - number)
    assert cache.load(WEIGHTS, key(0)) is not None  # used just now
    cache.store(OTHERS, key(9), embeddings(9))
    kept = {int(path.stem, 16) for path in tmp_path.rglob("*.safetensors")}
    assert 9 in kept
    assert 0 in kept
    assert kept < set(range(10))
    # evicted files are older than all remaining ones
    assert min(kept - {0}) > max(set(range(10)) - kept)


def age(folder: Path, number: int, seconds: float) -> None:
    (path,) = folder.rglob(f"{key(number)}.safetensors")
    os.utime(path, (time.time() - seconds,) * 2)


def test_clips_larger_than_the_limit_are_not_stored(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, 100)
    cache.store(WEIGHTS, key(1), embeddings())
    assert cache.size() == 0


def test_a_folder_that_cannot_be_written_is_reported_once(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / WEIGHTS).write_text("in the way")
    cache = EmbeddingCache(tmp_path, MUCH)
    for number in range(3):
        cache.store(WEIGHTS, key(number), embeddings())
    messages = [warning for warning in recwarn if "can't be written" in str(warning.message)]
    assert len(messages) == 1
    with pytest.raises(UserError, match="is not a folder"):
        EmbeddingCache(tmp_path / WEIGHTS, MUCH)


def test_temporary_files_of_dead_processes_are_deleted(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, MUCH)
    cache.store(WEIGHTS, key(1), embeddings())
    stored = file_of(tmp_path)
    young, old = (stored.with_name(f".{name}.partial.safetensors") for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    EmbeddingCache(tmp_path, MUCH).store(WEIGHTS, key(2), embeddings())
    assert young.exists()
    assert not old.exists()
    assert stored.exists()


def _work(folder: Path, bound: int, process: int) -> int:
    """Stores and loads the same clips as other processes; returns the number of wrong embeddings."""
    cache, wrong = EmbeddingCache(folder, bound), 0
    for turn in range(60):
        number = (7 * turn + process) % 20
        found = cache.load(WEIGHTS, key(number))
        wrong += found is not None and not torch.equal(found, embeddings(number))
        cache.store(WEIGHTS, key(number), embeddings(number))
    return wrong


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, MUCH).store(WEIGHTS, key(0), embeddings(0))
    bound = 10 * file_of(tmp_path).stat().st_size
    with multiprocessing.get_context("fork").Pool(3) as pool:
        wrong = pool.starmap(_work, [(tmp_path, bound, process) for process in range(3)])
    assert wrong == [0, 0, 0]
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert EmbeddingCache(tmp_path, bound).size() <= 1.2 * bound
