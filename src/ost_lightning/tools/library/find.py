"""`ost find`: what in a library shows an action, what is like a video, and which class each segment is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ost_lightning.errors import UserError
from ost_lightning.resources import TINY_MODELS
from ost_lightning.tools.options import output_file

if TYPE_CHECKING:
    from ost_lightning.library.asking import FoundSegments, Searcher
    from ost_lightning.text import LabelSpace


def find(
    query: Sequence[str] = (),
    *,
    library: Path,
    n: int = 20,
    labels: str | None = None,
    describe: bool = False,
    llm: str = "gpt-3.5-turbo",
    spatio: str | None = None,
    temporal: str | None = None,
    order_sigma: float | None = None,
    similar: str | None = None,
    coarse: bool = False,
    candidates: int = 10_000,
    per_video: bool = False,
    ranked_by: Literal["similarity", "probability"] | None = None,
    weights: str | None = None,
    table: str | None = None,
    output: Path | None = None,
    device: str | None = None,
) -> None:
    """Finds the segments of a library that show an action or are like a video, without opening videos again.

    A query is a class of `labels`, a name that an LLM describes (`describe`), sentences by hand (`spatio`, `temporal`),
    or a name alone, which is less accurate. With `labels` and no query, every segment is recognized, and `output` is a
    table like that of `ost predict`. What the order is by, and videos that are no longer there, are named.

    Args:
        query: Name of an action or class, such as `archery`; words are joined by spaces.
        library: Folder of a library, which `ost index` wrote.
        n: Number of segments to find.
        labels: Name of a label space (`kinetics400`) or folder of one.
        describe: Whether an LLM first describes the query (OPENAI_API_KEY, OPENAI_BASE_URL). Answers are kept in the
            cache.
        llm: Name of that LLM as the server knows it.
        spatio: Sentences about what is visible, separated by `;`.
        temporal: Sentences about what happens, separated by `;`, or by `then` if their order matters: `pours, then
            stirs`.
        order_sigma: Width of the preference for steps in their order, as a fraction of the segment; 0.3 for steps that
            are joined by `then`, otherwise that of the weights, if not given.
        similar: Video to find similar ones of: file, folder of frames, or URL.
        coarse: Whether only `candidates` are scored, those with the closest mean frame; for millions of segments.
        candidates: Number of candidates of the coarse stage.
        per_video: Whether each video is found once, with its best segment.
        ranked_by: Score that decides the order: similarity to the class, or its probability among `labels`, which is
            better and takes longer; the latter for a class of a label space, if not given.
        weights: Weights that the videos were indexed with; those that the library names, if not given.
        table: Digest of the table to ask, if the library has several; that of `weights`, if not given.
        output: File for the results (.json, .csv, or .html for a page with pictures and players), or predictions.csv
            for a whole library; if not given, results are only printed.
        device: Device for computation; the CPU if not given.
    """
    by_hand = spatio is not None or temporal is not None
    text = " ".join(query) if query else None
    classify = labels is not None and text is None and similar is None and not by_hand
    _check_choice(text, labels, similar, describe=describe, by_hand=by_hand)
    if classify and output is None:
        raise UserError("--labels alone recognizes the whole library: name a table with --output predictions.csv.")
    if output is not None:
        output_file(output)
        if classify and output.suffix.lower() != ".csv":
            raise UserError(f"The output {output} is a table of predictions: give it the suffix .csv.")
    from ost_lightning.library import Library
    from ost_lightning.library.asking import Query, SearchSettings, check_found_file
    from ost_lightning.text import LabelSpace

    if output is not None and not classify:
        check_found_file(output)
    settings = SearchSettings(n, coarse, candidates, per_video)
    asked: str | Query | None = text
    if by_hand:
        asked = Query.by_hand(text or "", spatio, temporal, order_sigma)
    elif text is not None:
        Query(text)
    space = None if labels is None else LabelSpace.load(labels)
    opened = Library.open(library)
    searcher = opened.searcher(weights, table, device)
    print(searcher)
    if searcher.table.settings.weights in TINY_MODELS:
        print("This model knows only the rendered world: its answers about other videos mean nothing.")
    if classify and space is not None and output is not None:
        searcher.classify(space).save(output)
        print(f"Predictions written to {output}")
        return
    if similar is not None:
        _show(searcher.similar(similar, settings, order_sigma=order_sigma), output)
        return
    if describe and text is not None:
        space = _described(searcher, text, llm)
    if asked is None:
        raise UserError("There is nothing to look for: name an action, or give --spatio, --temporal or --similar.")
    if space is None and not by_hand:
        print("The query has no descriptors: segments are compared with its name alone.")
    _show(searcher.find(asked, space, settings, ranked_by=ranked_by, order_sigma=order_sigma), output)


def _check_choice(query: str | None, labels: str | None, similar: str | None, *, describe: bool, by_hand: bool) -> None:
    """Checks that a command asks one thing.

    Raises:
        UserError: If it asks nothing, or several things.
    """
    if similar is not None and (query is not None or by_hand or describe or labels is not None):
        raise UserError("--similar looks for videos like another one: leave out the query and --labels.")
    if by_hand and (describe or labels is not None):
        raise UserError("--spatio and --temporal describe the query: leave out --labels and --describe.")
    if describe and (query is None or labels is not None):
        raise UserError("--describe is for a name that no label space has: give one, and leave out --labels.")
    if query is None and not by_hand and similar is None and labels is None:
        raise UserError("There is nothing to look for: name an action, or give --spatio, --temporal or --similar.")


def _described(searcher: "Searcher", query: str, llm: str) -> "LabelSpace":
    from ost_lightning.tools.recognition.describe import describe

    return describe([" ".join(query.split())], llm, searcher.model.descriptors_per_class)


def _show(found: "FoundSegments", output: Path | None) -> None:
    from ost_lightning.library.asking import save_found

    print(found)
    if output is not None:
        save_found(found, output)
        print(f"Results written to {output}")
