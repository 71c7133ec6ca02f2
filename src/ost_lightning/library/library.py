"""A library: embeddings of many videos on disk, written once, asked often."""

import json
from pathlib import Path
from typing import Final, Self

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.library.schema import SCHEMA_VERSION, lance, other_version
from ost_lightning.library.settings import TableSettings
from ost_lightning.library.table import SegmentTable

_FORMAT: Final = "ost_lightning library"
_FILE: Final = "library.json"
_SETTINGS: Final = "settings.json"


class Library:
    """Folder with one table per set of weights and clip settings; `open` returns it.

    Args:
        folder: Folder of an existing library.

    Attributes:
        folder: Folder of the library.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: str | Path, *, create: bool = False) -> Self:
        """Opens a library.

        Args:
            folder: Folder of the library.
            create: Whether to create it, if the folder is missing or empty.

        Raises:
            UserError: If there is no library of this version, or Lance is not installed.
        """
        lance()
        path = Path(folder).absolute()
        file = path / _FILE
        if not file.exists():
            if not create:
                raise UserError(f"{path} is not a library of videos: expected {_FILE}, which `ost index` writes.")
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UserError(f"{path} is not empty and not a library of videos: choose a new folder.")
            write_text_atomically(file, json.dumps({"format": _FORMAT, "version": SCHEMA_VERSION}, indent=2) + "\n")
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} can't be read ({error!r}): restore it, or choose another library.") from error
        if found != SCHEMA_VERSION:
            raise other_version(file, found)
        return cls(path)

    def __repr__(self) -> str:
        return f"Library({str(self.folder)!r}, {len(self._folders())} tables)"

    @property
    def tables(self) -> list[TableSettings]:
        """Settings of each table, ordered by name of the weights."""
        found = [TableSettings.load(folder / _SETTINGS) for folder in self._folders()]
        return sorted(found, key=lambda settings: (settings.weights, settings.digest))

    def table(self, digest: str | None = None) -> SegmentTable:
        """Opens a table.

        Args:
            digest: Digest of weights and clip settings; see `table_digest`. None for the only table.

        Raises:
            UserError: If there is no such table, or several and no digest; it lists them.
        """
        folders = {folder.name: folder for folder in self._folders()}
        if digest is None and len(folders) == 1:
            (digest,) = folders
        if digest is None or digest not in folders:
            listed = "; ".join(f"{one.digest} ({one.weights}, {one.frames} frames)" for one in self.tables)
            wanted = "Choose one" if digest is None else f"There is no table {digest} of these weights and settings"
            raise UserError(
                f"The library {self.folder} has {len(folders)} tables. {wanted}: {listed}."
                if folders
                else f"The library {self.folder} is empty: index videos first (`ost index`)."
            )
        return SegmentTable(folders[digest])

    def create_table(self, settings: TableSettings) -> SegmentTable:
        """Opens the table with these settings, and creates it if there is none.

        Args:
            settings: Settings of the embeddings that will be added.

        Raises:
            UserError: If the table of these weights and clip settings has other segments.
        """
        folder = self.folder / "tables" / settings.digest
        file = folder / _SETTINGS
        if not file.exists():
            settings.save(file)
        TableSettings.load(file).require_equal(settings, folder)
        return SegmentTable(folder)

    def _folders(self) -> list[Path]:
        return sorted(file.parent for file in self.folder.glob(f"tables/*/{_SETTINGS}"))
