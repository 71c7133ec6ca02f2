"""`ost descriptors density`: similarity between the classes of a data set."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Column, Table

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.resources import TINY_CLIP, TINY_MODELS
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.tools.options import output_folder

if TYPE_CHECKING:
    from ost_lightning.toyworld.grammar import Group

_FIGURES: Final = ("classes", "name", "descriptors", "spatio", "temporal", "single")
_TOYWORLD: Final = re.compile(r"toyworld-(?P<draw>[0-4])-(?P<group>seen|unseen|order)(?P<hard>-hard)?")


def density(
    label_spaces: str,
    output: Path = Path("runs/density"),
    pretrained: str = TINY_CLIP,
    templates: str = "ost",
    descriptors_per_class: int = 4,
    seed: int = 0,
    device: str | None = None,
) -> None:
    """Measures how similar the classes of data sets are to each other, by name and by descriptors (Fig. 2).

    Writes density.json, density.png (bars) and map.png (t-SNE). The figures depend on the CLIP that measures; tiny
    knows only the rendered world. Label spaces without descriptors, such as imagenet1k, are measured by name only.

    Args:
        label_spaces: Names or folders of label spaces, separated by commas: kinetics400,hmdb51. toyworld-0-unseen is a
            group of classes of the rendered world (draw 0 to 4; seen, unseen or order), and toyworld-0-unseen-hard one
            of its hard setting.
        output: Folder for the files.
        pretrained: CLIP for the measurement: hub id, folder in HF format, or tiny.
        templates: Name of templates in prompts/sentences, or a YAML file.
        descriptors_per_class: Number of descriptors of each kind.
        seed: Seed of t-SNE.
        device: PyTorch device; a GPU if available.
    """
    import torch

    from ost_lightning.analysis import class_embeddings, density_results, draw_density, draw_map
    from ost_lightning.analysis import density as measure_density
    from ost_lightning.models import VideoCLIP, require_finite_weights

    output_folder(output)
    found = _by_name(label_spaces.split(","))
    sentences = Templates.load(templates)
    encoder = VideoCLIP(pretrained).eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    require_finite_weights(encoder)
    encoded = {
        name: class_embeddings(encoder, labels, sentences, descriptors_per_class) for name, labels in found.items()
    }
    densities = {name: measure_density(*parts) for name, parts in encoded.items()}
    settings = {"clip": pretrained, "templates": templates, "per_class": descriptors_per_class}
    write_text_atomically(output / "density.json", json.dumps(density_results(densities, settings), indent=1) + "\n")
    tiny = TINY_MODELS.get(pretrained)
    named = pretrained if tiny is None else f"the tiny {tiny} of the rendered world"
    described = any(labels.descriptors for labels in found.values())
    about = f"text tower of {named}" + f", {descriptors_per_class} descriptors of each kind" * described
    draw_density(densities, f"Semantic density: {about}", output / "density.png")
    draw_map(
        {name: parts[0] for name, parts in encoded.items()}, f"t-SNE of classes: {about}", output / "map.png", seed
    )
    table = Table(Column("label space", overflow="fold"), *(Column(name, justify="right") for name in _FIGURES))
    for name, measured in densities.items():
        values = (measured.name, measured.descriptors, measured.spatio, measured.temporal, measured.single_descriptors)
        table.add_row(
            name, str(measured.classes), *("-" if value is None else f"{100 * value:.1f}" for value in values)
        )
    Console().print(table)
    print(f"Mean pairwise cosines (%) by the {about}. Written to {output}: density.json, density.png, map.png")


def _by_name(given: Sequence[str]) -> dict[str, LabelSpace]:
    """Returns label spaces by the names of their folders, or by their paths where two folders have one name."""
    names = [Path(name).name for name in given]
    if repeated := [name for name, count in Counter(given).items() if count > 1]:
        raise UserError(f"The label space {repeated[0]} is given twice: name each one once.")
    shown = [path if names.count(name) > 1 else name for path, name in zip(given, names, strict=True)]
    return {name: _labels(path) for name, path in zip(shown, given, strict=True)}


def _labels(name: str) -> LabelSpace:
    """Returns a label space by name or folder, or classes of the rendered world."""
    from ost_lightning.toyworld.dataset import label_space as toyworld_labels

    if (toyworld := _TOYWORLD.fullmatch(name)) is None:
        return LabelSpace.load(name)
    group: Group = toyworld["group"]  # type: ignore[assignment]  # the pattern allows only these
    return toyworld_labels(int(toyworld["draw"]), group, "hard" if toyworld["hard"] else "standard")
