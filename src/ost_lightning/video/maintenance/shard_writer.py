"""Packing of files into uncompressed tar shards that are read in place (the WebDataset layout)."""

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.video.maintenance.parallel import map_in_processes
from ost_lightning.video.storage.shard_index import INDEX_NAME, ShardIndex, is_shard, shard_sizes


@dataclass(frozen=True, slots=True)
class Shard:
    """Plan of one tar file.

    Attributes:
        path: Path of the tar file.
        files: Files to pack, by member name.
    """

    path: Path
    files: Mapping[str, Path]


def plan_shards(files: Mapping[str, Path], folder: Path, size: int) -> list[Shard]:
    """Divides files among shards, in their order.

    Args:
        files: Files to pack, by member name.
        folder: Folder for the shards, which are called `000000.tar` and so on.
        size: Total size of a shard's files, in bytes, at which the next shard begins.

    Raises:
        UserError: If a file does not exist.
    """
    shards: list[dict[str, Path]] = []
    filled = size
    for name, file in files.items():
        try:
            length = file.stat().st_size
        except OSError as error:
            raise UserError(
                f"{file} can't be put into a shard ({error.strerror}). `ost data check` finds all such files; remove "
                f"them from the list first."
            ) from error
        if filled >= size:
            shards.append({})
            filled = 0
        shards[-1][name] = file
        filled += length
    return [Shard(folder / f"{number:06d}.tar", shard) for number, shard in enumerate(shards)]


def write_shards(shards: Sequence[Shard], workers: int = 0) -> int:
    """Writes shards and their index, except shards that exist already and are complete.

    Args:
        shards: Shards to write, all in one folder.
        workers: Number of processes; 0 runs everything in this process.

    Returns:
        Number of shards that were written.

    Raises:
        UserError: If the folder contains other shards, or a process is killed.
    """
    folder = shards[0].path.parent
    folder.mkdir(parents=True, exist_ok=True)
    present = {file.name for file in folder.iterdir() if is_shard(file.name)}
    if others := sorted(present - {shard.path.name for shard in shards}):
        raise UserError(f"{folder} contains other shards ({others[0]}): choose an empty folder.")
    done = map_in_processes(_write_shard, shards, workers, _killed)
    written = sum(tqdm(done, total=len(shards), unit="shard"))
    ShardIndex.scan(str(folder), shard_sizes(str(folder))).save(folder / INDEX_NAME)
    return written


def _write_shard(shard: Shard) -> bool:
    if _is_complete(shard):
        return False
    with atomic_write(shard.path) as temporary, _new_tar(temporary) as tar:
        for name, file in shard.files.items():
            member = tarfile.TarInfo(name)  # without owner and times, so that the same files give the same bytes
            member.size = file.stat().st_size
            with file.open("rb") as handle:
                tar.addfile(member, handle)
    return True


def _new_tar(file: Path) -> tarfile.TarFile:
    return tarfile.open(file, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


def _is_complete(shard: Shard) -> bool:
    if not shard.path.is_file():
        return False
    index = ShardIndex.scan(str(shard.path.parent), {shard.path.name: 0})
    present = {name: location.size for name, location in index.members.items()}
    return present == {name: file.stat().st_size for name, file in shard.files.items()}


def _killed(shard: Shard) -> bool:
    raise UserError(f"The process that wrote {shard.path} was killed. Run the command again to resume.")
