"""`ost index --check`, `--compact` and `--remove`: care of a library."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv
from ost_lightning.tools.options import output_file
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.library import Library, TableSettings
    from ost_lightning.library.checking import MarkedVideo


def maintain(
    folder: Path,
    *,
    check: bool,
    compact: bool,
    remove: Sequence[str],
    output: Path | None,
    sources: Sequence[str],
) -> None:
    """Removes videos from a library, then makes it compact, then checks it, whichever was asked for.

    Args:
        folder: Folder of the library.
        check: Whether to check it.
        compact: Whether to make it compact.
        remove: Videos to remove.
        output: CSV file for the marks of the check; None for none.
        sources: Videos to index, which must not be given.

    Raises:
        UserError: If there is no such library or video, or a check finds something.
    """
    if sources:
        raise UserError("--check, --compact and --remove don't index: leave out the sources, or the option.")
    if output is not None:
        if not check or output.suffix.lower() != ".csv":
            raise UserError(f"--output {output}: expected a file with the suffix .csv, together with --check.")
        output_file(output)
    from ost_lightning.library import Library

    library = Library.open(folder)
    if remove:
        print(f"{counted(library.remove(remove), 'segment')} removed; --compact frees their space")
    if compact:
        print(f"{library.compact() / 1e6:,.1f} MB freed")
    if check:
        _check(library, output)


def _check(library: "Library", output: Path | None) -> None:
    from ost_lightning.library.checking import check_table

    found: list[tuple[TableSettings, MarkedVideo]] = []
    for settings in library.tables:
        result = check_table(library.table(settings.digest))
        found += [(settings, marked) for marked in result.marked]
        print(
            f"{settings.digest} ({escaped(settings.weights)}): {counted(result.segments, 'segment')} of "
            f"{counted(result.videos, 'video')}, {settings.frames} frames each, {settings.segments.precision}"
        )
    for _, marked in found:
        print(escaped(f"{marked.video}: {marked.mark} ({marked.reason})"))
    if output is not None:
        with atomic_write(output) as temporary, open_csv(temporary) as handle:
            rows = CsvWriter(handle)
            rows.writerow(["table", "video", "video_id", "mark", "reason"])
            rows.writerows((table.digest, one.video, one.video_id, one.mark, one.reason) for table, one in found)
    if found:
        counts = ", ".join(f"{count:,} {mark}" for mark, count in Counter(one.mark for _, one in found).items())
        raise UserError(f"Videos that are not as they were indexed: {counts}. They are named above.")
