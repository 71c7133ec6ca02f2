"""`ost suggest`: the videos of a library that are worth labeling next."""

from pathlib import Path

from ost_lightning.tools.options import output_file


def suggest(
    *,
    library: Path,
    labels: str,
    n: int = 20,
    weights: str | None = None,
    table: str | None = None,
    output: Path | None = None,
    device: str | None = None,
) -> None:
    """Suggests videos of a library to label next: those about which Spatio and Temporal Descriptors disagree most.

    Segments without a label are ranked by that disagreement and by the entropy of their transport plans; of each video,
    at most one is suggested. A list has an empty column `label`: once it is filled in, `VideoLists` trains on it.

    Args:
        library: Folder of a library, which `ost index` wrote.
        labels: Name of a label space with descriptors (`kinetics400`), or folder of one.
        n: Number of videos.
        weights: Weights that the videos were indexed with; those that the library names, if not given.
        table: Digest of the table to ask, if the library has several; that of `weights`, if not given.
        output: File for the suggestions: a list (.csv) or tasks for Label Studio (.json); if not given, they are only
            printed.
        device: Device for computation; the CPU if not given.
    """
    from ost_lightning.library import Library
    from ost_lightning.library.asking import check_suggestion_file
    from ost_lightning.text import LabelSpace

    if output is not None:
        check_suggestion_file(output_file(output))
    space = LabelSpace.load(labels)
    found = Library.open(library).searcher(weights, table, device).suggest(space, n)
    print(found)
    if output is not None:
        found.save(output)
        print(f"Suggestions written to {output}")
