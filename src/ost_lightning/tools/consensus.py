"""`ost descriptors consensus`: one label space from several drafts of its descriptors."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import open_csv
from ost_lightning.resources import TINY_CLIP
from ost_lightning.text import LabelSpace, OrphanDescriptorsWarning, SentenceSet
from ost_lightning.tools.options import output_folder
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from torch import Tensor

    from ost_lightning.text.consensus import Embed, SupportedDescriptor

REPORT: Final = "drafts.csv"
"""File with every descriptor of every draft, in the folder of the new label space."""
_SHOWN: Final = 5


def consensus(
    drafts: str,
    output: Path,
    pretrained: str = TINY_CLIP,
    descriptors_per_class: int = 4,
    device: str | None = None,
) -> None:
    """Merges several drafts of descriptors into one label space with what the drafts agree on.

    A language model that is asked again, with another seed, repeats what belongs to an action, but rarely repeats a
    hallucination. The text tower of a CLIP compares the drafts' descriptors. No video is needed.

    Writes the label space, and drafts.csv with the support that every descriptor has in the other drafts.

    Args:
        drafts: Names or folders of label spaces with the same classes, separated by commas: two or more, better five.
        output: Folder for the new label space; must not exist.
        pretrained: CLIP whose text tower compares descriptors: hub id, folder in HF format, or tiny, which knows only
            the rendered world.
        descriptors_per_class: Number of descriptors to keep per list.
        device: PyTorch device; a GPU if available.
    """
    if output.exists():
        raise UserError(f"{output} already exists. Choose another folder for the new label space.")
    if descriptors_per_class < 1:
        raise UserError(f"--descriptors_per_class is {descriptors_per_class}: keep at least one descriptor per list.")
    output_folder(output)
    given, loaded = load_drafts(drafts)

    from ost_lightning.text.consensus import check_drafts
    from ost_lightning.text.consensus import consensus as merge

    check_drafts(loaded, descriptors_per_class)  # loading the encoder takes longer
    found = merge(loaded, text_embedder(pretrained, device), descriptors_per_class)
    provenance = {
        **({"language": loaded[0].language} if loaded[0].language != "en" else {}),
        "source": f"consensus of {len(loaded)} drafts with `ost descriptors consensus`",
        "compared_by": pretrained,
        "per_class": descriptors_per_class,
        "drafts": [dict(draft.provenance) for draft in loaded],
    }
    replace(found.labels, provenance=provenance, origin=str(output)).save(output)
    _write_report(found.descriptors, output / REPORT)
    _print(found.descriptors, given, output)


def load_drafts(drafts: str) -> tuple[list[str], list[LabelSpace]]:
    """Returns names and label spaces from names or folders that are separated by commas.

    Raises:
        UserError: If a draft is given twice, or is no label space.
    """
    given = [name.strip() for name in drafts.split(",")]
    if repeated := [name for name in given if given.count(name) > 1]:
        raise UserError(f"The draft {repeated[0]} is given twice: name each one once.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrphanDescriptorsWarning)  # only descriptors of classes are read
        return given, [LabelSpace.load(name) for name in given]


def text_embedder(pretrained: str, device: str | None = None) -> "Embed":
    """Loads a CLIP, and returns its text tower as a function from texts to unit vectors."""
    import torch

    from ost_lightning.models import VideoCLIP, require_finite_weights

    encoder = VideoCLIP(pretrained).eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    require_finite_weights(encoder)

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> "Tensor":
        sentences = SentenceSet({"spatio": tuple((text,) for text in texts)})
        return encoder.encode_sentences(encoder.tokenize(sentences))["spatio"][:, 0]

    return embed


def _print(found: "Sequence[SupportedDescriptor]", drafts: Sequence[str], output: Path) -> None:
    kept = [one for one in found if one.kept]
    weakest = sorted(kept, key=lambda one: one.support)[:_SHOWN]
    table = Table("support", "class", "kind", "draft", "descriptor", title="Kept with the least support: look at these")
    for one in weakest:
        texts = (f"{one.support:.2f}", one.name, one.kind, drafts[one.draft], one.text)
        table.add_row(*(escaped(text).replace("[", "\\[") for text in texts))
    Console().print(table)
    counts = f"{counted(len(kept), 'descriptor')} kept of {len(found):,} in {counted(len(drafts), 'draft')}"
    print(f"{output}: {counts}; the support of each is in {REPORT}")


def _write_report(found: "Sequence[SupportedDescriptor]", file: Path) -> None:
    with open_csv(file) as handle:
        rows = CsvWriter(handle)
        rows.writerow(["class", "kind", "draft", "rank", "descriptor", "support", "kept"])
        for one in found:
            place = (one.draft + 1, one.rank + 1)
            rows.writerow([one.name, one.kind, *place, one.text, f"{one.support:.4f}", "yes" if one.kept else "no"])
