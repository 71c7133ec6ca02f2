"""A library: embeddings of many videos on disk, written once, asked often."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from ost_lightning.errors import UserError
from ost_lightning.files import is_utf8, write_text_atomically
from ost_lightning.library.claims import Claims
from ost_lightning.library.embedding import SegmentEncoder
from ost_lightning.library.indexing import IndexProgress, IndexSettings, Report, index_sources
from ost_lightning.library.schema import SCHEMA_VERSION, lance, other_version
from ost_lightning.library.settings import SegmentSettings, TableSettings, table_digest
from ost_lightning.library.sources import VideoSource, video_sources
from ost_lightning.library.table import SegmentTable
from ost_lightning.library.video_names import VideoNames
from ost_lightning.recognition import Recognizer, TrainedModel, load_trained_model
from ost_lightning.text import LabelSpace

if TYPE_CHECKING:
    from ost_lightning.library.asking import Classification, FoundSegments, Query, RankedBy, Searcher

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
        self._searchers: dict[tuple[str | Path | None, str | None, str | None], Searcher] = {}

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
        if not is_utf8(str(path)):
            raise UserError(
                f"The folder {path} has a name that is not UTF-8, which Lance can't open: choose another folder."
            )
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

    def index(
        self,
        sources: Iterable[str | Path | VideoSource],
        model: Recognizer | TrainedModel,
        segments: SegmentSettings = SegmentSettings(),  # frozen
        settings: IndexSettings = IndexSettings(),  # frozen
        report: Report | None = None,
        weights: str | None = None,
    ) -> IndexProgress:
        """Embeds and stores the videos that are new or have changed, in the table of the model.

        Any number of processes may do this at once; they share out the videos. A video counts as changed if its file's
        state or its label differs. One that can't be read is listed in the table's errors, and tried again when it has
        changed.

        Args:
            sources: Paths of files or folders of frames, URLs, or sources; see `find_videos` and `record_sources`.
            model: Recognizer, whose labels don't matter, or a loaded model on the device for computation.
            segments: Settings of how videos are cut into segments.
            settings: Settings of this process.
            report: Function that is called with the progress after each batch.
            weights: Hub id or path from which the model can be loaded again; the model's own name if not given.

        Returns:
            The progress at the end.

        Raises:
            UserError: If the table of these weights has other segments, or can't be written.
        """
        trained = model.model if isinstance(model, Recognizer) else model
        encoder = SegmentEncoder(trained.video_clip, trained.clips, segments)
        about = TableSettings.of(trained.video_clip, encoder.clips, encoder.frames(), segments, weights)
        return index_sources(self.create_table(about), video_sources(sources), encoder, settings, report)

    def remove(self, videos: Iterable[str | Path]) -> int:
        """Removes videos from all tables; `compact` frees the space.

        Args:
            videos: Paths, folders, patterns (`clips/*.mp4`), URLs, or names in lists. The files may be gone.

        Returns:
            Number of segments that were removed.

        Raises:
            UserError: If no table has one of them; then nothing is removed.
        """
        wanted = VideoNames(videos)
        tables = [SegmentTable(folder) for folder in self._folders()]
        for table in tables:
            table.refresh()
            table.find(wanted)
        if unknown := wanted.unmatched():
            raise UserError(
                f"The library {self.folder} has no video {', '.join(unknown)}: expected paths, folders, patterns or "
                "names of indexed videos."
            )
        return sum(table.remove(wanted) for table in tables)

    def compact(self) -> int:
        """Merges small files of all tables and deletes their earlier versions, which readers may still be showing.

        Returns:
            Number of bytes that were freed.
        """
        freed = 0
        for folder in self._folders():
            with Claims(folder) as claims:
                freed += SegmentTable(folder).compact(alone=claims.alone())
        return freed

    def searcher(
        self,
        weights: str | Path | None = None,
        table: str | None = None,
        device: str | None = None,
    ) -> "Searcher":
        """Returns a table with the model that its embeddings are from, for several questions.

        Args:
            weights: Weights that the videos were indexed with; None for those that the table names.
            table: Digest of the table; None for the only one, or that of the weights.
            device: Device for computation; None for the CPU.

        Raises:
            UserError: If there is no such table, it is empty, or the weights are others.
        """
        from ost_lightning.library.asking import Searcher, one_view

        asked = (weights, table, device)
        if asked not in self._searchers:
            if weights is not None and table is None and self._folders():
                model = load_trained_model(weights)
                opened = self.table(table_digest(model.video_clip, one_view(model)))
            else:
                opened = self.table(table)
                model = load_trained_model(weights or opened.settings.weights)
            self._searchers[asked] = Searcher(opened, model, device)
        found = self._searchers[asked]
        found.table.refresh()
        return found

    def find(
        self,
        query: "str | Query",
        labels: str | Path | LabelSpace | None = None,
        n: int = 20,
        *,
        coarse: bool = False,
        per_video: bool = False,
        ranked_by: "RankedBy | None" = None,
        order_sigma: float | None = None,
        weights: str | Path | None = None,
    ) -> "FoundSegments":
        """Finds the segments that fit a query best; see `Searcher.find`.

        Args:
            query: Name of an action or class, or a `Query` with sentences.
            labels: Label space that the class is from, or its name or folder; None to compare with the query's words.
            n: Number of segments.
            coarse: Whether a coarse stage first chooses candidates, which takes a fraction of the time.
            per_video: Whether each video is found once, with its best segment.
            ranked_by: What decides the order; None for the probability among the classes, or the similarity without a
                label space.
            order_sigma: Width of the preference for steps in their order; None for the query's own.
            weights: Weights that the videos were indexed with; None for those that the table names.

        Raises:
            UserError: If the query is empty or no class of the label space, or the weights are others.
        """
        from ost_lightning.library.asking import SearchSettings

        settings = SearchSettings(n, coarse, per_video=per_video)
        space = None if labels is None else _label_space(labels)
        return self.searcher(weights).find(query, space, settings, ranked_by=ranked_by, order_sigma=order_sigma)

    def classify(self, labels: str | Path | LabelSpace, weights: str | Path | None = None) -> "Classification":
        """Recognizes every segment, with the probabilities of `ost predict`; see `Searcher.classify`.

        Args:
            labels: Classes to choose from: a label space, or its name or folder.
            weights: Weights that the videos were indexed with; None for those that the table names.

        Raises:
            UserError: If there is no such label space, or the weights are others.
        """
        space = _label_space(labels)
        return self.searcher(weights).classify(space)

    def to_fiftyone(self, table: str | None = None, field: str = "segments") -> list[Any]:
        """Returns one sample of FiftyOne per local video that is still there, with its indexed segments.

        Segments have the stored label; `Classification.to_fiftyone` gives recognized classes.

        Args:
            table: Digest of the table; None for the only one.
            field: Field of the samples that holds the segments.

        Raises:
            UserError: If FiftyOne is not installed, or a video can't be read.
        """
        from ost_lightning.library.asking.found import samples, timelines

        opened = self.table(table)
        segments = opened.segments(range(len(opened)))
        scored = [(segment, segment.label or "unlabeled", 1.0) for segment in segments]
        names = dict.fromkeys(label for _, label, _ in scored)
        return samples(timelines(scored, tuple(names), {"weights": opened.settings.weights}), field)

    def _folders(self) -> list[Path]:
        return sorted(file.parent for file in self.folder.glob(f"tables/*/{_SETTINGS}"))


def _label_space(labels: str | Path | LabelSpace) -> LabelSpace:
    return labels if isinstance(labels, LabelSpace) else LabelSpace.load(labels)
