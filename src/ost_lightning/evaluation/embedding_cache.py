"""Frame embeddings on disk, so that no video is decoded and encoded twice by the same weights.

Layout: `{folder}/{weights}/{xx}/{clip}.safetensors`, where `weights` is the fingerprint of everything that turns pixels
into embeddings (`frame_fingerprint`), `clip` names a video file in its present state and what was taken out of it, and
`xx` are the first digits of `clip`. A file holds the fp32 embeddings (V, T, d) of one clip and their digest.
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
_LOOK_EVERY: Final = 0.05
"""Share of the bound that one process writes before it looks at the folder again."""
_FILL_TO: Final = 0.9
"""Share of the bound that stays when old files have to go."""
_ABANDONED: Final = 3600.0
"""Seconds after which a file under a temporary name belongs to a process that died."""


class EmbeddingCacheWarning(UserWarning):
    """A cached file was damaged, or the cache can't be written."""


class EmbeddingCache:
    """Embeddings of clips, bounded in size: the least recently used go first.

    Several processes may use one folder at once: a file appears under its name as a whole or not at all. Each process
    looks at the folder's size after every twentieth of the bound that it writes, so W processes may exceed it by
    (W - 1) / 20 for a while; a single one does not.

    Args:
        folder: Folder of the files; made when something is stored.
        max_bytes: Bound on the size of all files together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._written: float = float("inf")  # since the last look
        self._writable = True
        if folder.exists() and not folder.is_dir():
            raise UserError(f"The cache of frame embeddings {folder} is not a folder. Remove it, or set OST_CACHE.")

    def load(self, weights: str, clip: str) -> Tensor | None:
        """Embeddings of one clip, or None if they are not there.

        A damaged file is taken away.

        Args:
            weights: Fingerprint of the weights, hexadecimal.
            clip: Key of the clip, hexadecimal.

        Returns:
            fp32 (V, T, d) as stored, bit by bit.

        Warns:
            EmbeddingCacheWarning: If the file was damaged.
        """
        path = self._path(weights, clip)
        try:
            with safe_open(path, framework="pt") as file:
                embeddings: Tensor = file.get_tensor(_TENSOR)
                found = (file.metadata() or {}).get("digest")
            if found == _digest(weights, clip, embeddings):
                os.utime(path)  # access times are switched off on many file systems
                return embeddings
            what = "its digest is another one"
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, RuntimeError) as error:  # the last is torch's, which opens the file again
            if not path.exists():
                return None  # another process has made room
            what = str(error)
        warnings.warn(
            f"{path} is damaged ({what}): it is deleted, and its video is encoded again",
            EmbeddingCacheWarning,
            stacklevel=2,
        )
        path.unlink(missing_ok=True)
        return None

    def store(self, weights: str, clip: str, embeddings: Tensor) -> None:
        """Keeps the embeddings of one clip; makes room if need be.

        Args:
            weights: Fingerprint of the weights, hexadecimal.
            clip: Key of the clip, hexadecimal.
            embeddings: fp32 (V, T, d), on any device.

        Warns:
            EmbeddingCacheWarning: If the folder can't be written; nothing more is stored by this object then.
        """
        if not self._writable:
            return
        embeddings = embeddings.detach().cpu().contiguous()
        data = save({_TENSOR: embeddings}, metadata={"digest": _digest(weights, clip, embeddings)})
        if len(data) > self.max_bytes:
            return
        path = self._path(weights, clip)
        try:
            if self._written + len(data) > _LOOK_EVERY * self.max_bytes:
                self._make_room(len(data))
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            self._writable = False
            warnings.warn(
                f"the cache of frame embeddings {self.folder} can't be written ({error.strerror}): "
                "the run goes on without storing more",
                EmbeddingCacheWarning,
                stacklevel=2,
            )
            return
        self._written += len(data)

    def size(self) -> int:
        """Bytes of all files together."""
        return sum(size for _, size, _ in self._files())

    def _path(self, weights: str, clip: str) -> Path:
        return self.folder / weights / clip[:2] / f"{clip}{_SUFFIX}"

    def _make_room(self, wanted: int) -> None:
        """Looks at the folder, and deletes the least recently used files until the next ones fit."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total + wanted > (1 - _LOOK_EVERY) * self.max_bytes:
            for _, size, path in files:
                if total + wanted <= _FILL_TO * self.max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= size
        self._written = 0

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Last use, size and path of every file; deletes temporary files that dead processes have left behind."""
        for path in self.folder.glob("*/*/*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process was faster
                continue
            if not path.name.startswith("."):
                yield status.st_mtime, status.st_size, path
            elif time.time() - status.st_mtime > _ABANDONED:
                path.unlink(missing_ok=True)


def _digest(weights: str, clip: str, embeddings: Tensor) -> str:
    digest = blake2b(f"{weights}/{clip}/{embeddings.dtype}/{tuple(embeddings.shape)}/".encode(), digest_size=16)
    digest.update(embeddings.numpy().tobytes())
    return digest.hexdigest()
