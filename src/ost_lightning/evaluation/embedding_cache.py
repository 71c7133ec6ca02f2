"""A disk cache of frame embeddings, so that no video is decoded and encoded twice with the same weights.

Layout: `{folder}/{weights}/{xx}/{clip}.safetensors`. `weights` is the fingerprint of everything that turns pixels into
embeddings (`frame_fingerprint`). `clip` identifies a video file, its state and the frames and crops taken from it
(`ClipKeys`), and `xx` are its first two digits. A file contains the fp32 embeddings (V, T, d) of one clip, and their
digest.
"""

import os
import time
import warnings
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write

_SUFFIX: Final = ".safetensors"
_TENSOR: Final = "embeddings"
_SCAN_INTERVAL: Final = 0.05
"""Fraction of the size limit that one process writes before it scans the folder again."""
_EVICT_TO: Final = 0.9
"""Fraction of the size limit that remains after an eviction."""
_STALE_AFTER: Final = 3600.0
"""Seconds after which a temporary file is assumed to belong to a process that died."""


class EmbeddingCacheWarning(UserWarning):
    """A cached file is damaged, or the cache can't be written."""


class EmbeddingCache:
    """Embeddings of clips with a limited total size; the least recently used are evicted first.

    Several processes may share one folder, because files are written atomically. Each process scans the folder's size
    after writing a twentieth of the limit. W processes may therefore exceed the limit temporarily by (W - 1) / 20 of
    it; a single process never does.

    Args:
        folder: Folder for the files, created when something is stored.
        max_bytes: Limit on the total size of all files, in bytes.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._written: float = float("inf")  # bytes since the last scan
        self._writable = True
        if folder.exists() and not folder.is_dir():
            raise UserError(
                f"The cache of frame embeddings, {folder}, is not a folder: remove the file, or set OST_CACHE to "
                "another folder."
            )

    def load(self, weights: str, clip: str) -> Tensor | None:
        """Loads the embeddings of one clip.

        A damaged file is deleted.

        Args:
            weights: Fingerprint of the weights, hexadecimal.
            clip: Key of the clip, hexadecimal.

        Returns:
            fp32 (V, T, d), bit-identical to the stored tensor; None if it is not cached.

        Warns:
            EmbeddingCacheWarning: If the file is damaged.
        """
        path = self._path(weights, clip)
        try:
            with safe_open(path, framework="pt") as file:
                embeddings: Tensor = file.get_tensor(_TENSOR)
                found = (file.metadata() or {}).get("digest")
            if found == _digest(weights, clip, embeddings):
                os.utime(path)  # many file systems don't record access times
                return embeddings
            damage = "its digest doesn't match"
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, RuntimeError) as error:  # RuntimeError from torch, which reopens the file
            if not path.exists():
                return None  # another process evicted it
            damage = str(error)
        warnings.warn(
            f"{path} is damaged ({damage}): deleting it and encoding its video again",
            EmbeddingCacheWarning,
            stacklevel=2,
        )
        path.unlink(missing_ok=True)
        return None

    def store(self, weights: str, clip: str, embeddings: Tensor) -> None:
        """Stores the embeddings of one clip, evicting others if necessary.

        Args:
            weights: Fingerprint of the weights, hexadecimal.
            clip: Key of the clip, hexadecimal.
            embeddings: Embeddings on any device, fp32 (V, T, d).

        Warns:
            EmbeddingCacheWarning: If the folder can't be written; this object then stops storing embeddings.
        """
        if not self._writable:
            return
        embeddings = embeddings.detach().cpu().contiguous()
        data = save({_TENSOR: embeddings}, metadata={"digest": _digest(weights, clip, embeddings)})
        if len(data) > self.max_bytes:
            return
        path = self._path(weights, clip)
        try:
            if self._written + len(data) > _SCAN_INTERVAL * self.max_bytes:
                self._evict(len(data))
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            self._writable = False
            warnings.warn(
                f"the cache of frame embeddings, {self.folder}, can't be written ({error.strerror}): "
                "continuing without storing more",
                EmbeddingCacheWarning,
                stacklevel=2,
            )
            return
        self._written += len(data)

    def size(self) -> int:
        """Returns the total size of all files, in bytes."""
        return sum(size for _, size, _ in self._files())

    def _path(self, weights: str, clip: str) -> Path:
        return self.folder / weights / clip[:2] / f"{clip}{_SUFFIX}"

    def _evict(self, needed: int) -> None:
        """Scans the folder, and deletes the least recently used files until there is space for the next ones."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total + needed > (1 - _SCAN_INTERVAL) * self.max_bytes:
            for _, size, path in files:
                if total + needed <= _EVICT_TO * self.max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= size
        self._written = 0

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yields last use, size and path of every file, and deletes temporary files of processes that died."""
        for path in self.folder.glob("*/*/*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process deleted it
                continue
            if not path.name.startswith("."):
                yield status.st_mtime, status.st_size, path
            elif time.time() - status.st_mtime > _STALE_AFTER:
                path.unlink(missing_ok=True)


def _digest(weights: str, clip: str, embeddings: Tensor) -> str:
    digest = blake2b(f"{weights}/{clip}/{embeddings.dtype}/{tuple(embeddings.shape)}/".encode(), digest_size=16)
    digest.update(embeddings.numpy().tobytes())
    return digest.hexdigest()
