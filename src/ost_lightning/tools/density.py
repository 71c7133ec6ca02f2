"""`ost descriptors density`: how close classes stand to one another."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from ost_lightning.files import write_text_atomically
from ost_lightning.resources import TINY_CLIP
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.tools.options import output_folder

if TYPE_CHECKING:
    from ost_lightning.toyworld.grammar import Group

_TOYWORLD: Final = re.compile(r"toyworld-(?P<draw>[0-4])-(?P<group>seen|unseen|order)")


def density(
    label_spaces: str,
    output: Path = Path("runs/density"),
    pretrained: str = TINY_CLIP,
    templates: str = "ost",
    descriptors_per_class: int = 4,
    seed: int = 0,
    device: str | None = None,
) -> None:
    """Measures how close the classes of data sets stand to one another, by name and by descriptors (Fig. 2).

    Writes density.json, density.png (bars) and map.png (t-SNE). A figure is about the CLIP that it was measured with;
    tiny knows the rendered world only.

    Args:
        label_spaces: Names or folders, with commas between them: kinetics400,hmdb51. toyworld-0-unseen is a group of
            classes of the rendered world (draw 0 to 4; seen, unseen or order).
        output: Folder for the files.
        pretrained: CLIP that measures: hub id, folder in HF format, or tiny.
        templates: A name out of prompts/sentences, or a YAML file.
        descriptors_per_class: Number of descriptors of each kind.
        seed: Seed of t-SNE.
        device: Torch device; a GPU if there is one.
    """
    import torch

    from ost_lightning.analysis import class_embeddings, density_results, draw_density, draw_map
    from ost_lightning.analysis import density as measure_density
    from ost_lightning.models import VideoCLIP

    output_folder(output)
    found = {Path(name).name: _labels(name) for name in label_spaces.split(",")}
    sentences = Templates.load(templates)
    encoder = VideoCLIP(pretrained).eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    encoded = {
        name: class_embeddings(encoder, labels, sentences, descriptors_per_class) for name, labels in found.items()
    }
    densities = {name: measure_density(*parts) for name, parts in encoded.items()}
    settings = {"clip": pretrained, "templates": templates, "per_class": descriptors_per_class}
    write_text_atomically(output / "density.json", json.dumps(density_results(densities, settings), indent=1) + "\n")
    named = "the tiny CLIP of the rendered world" if pretrained == TINY_CLIP else pretrained
    about = f"text tower of {named}, {descriptors_per_class} descriptors of each kind"
    draw_density(densities, f"Semantic density: {about}", output / "density.png")
    draw_map(
        {name: parts[0] for name, parts in encoded.items()}, f"t-SNE of classes: {about}", output / "map.png", seed
    )
    table = Table("label space", "classes", "name", "descriptors", "spatio", "temporal", "single")
    for name, measured in densities.items():
        values = (measured.name, measured.descriptors, measured.spatio, measured.temporal, measured.single_descriptors)
        table.add_row(name, str(measured.classes), *(f"{100 * value:.1f}" for value in values))
    Console().print(table)
    print(f"mean pair-wise cosines (%) by the {about}; {output}: density.json, density.png, map.png")


def _labels(name: str) -> LabelSpace:
    """A label space by name or folder, or classes of the rendered world."""
    from ost_lightning.toyworld.dataset import label_space as toyworld_labels

    if (toyworld := _TOYWORLD.fullmatch(name)) is None:
        return LabelSpace.load(name)
    group: Group = toyworld["group"]  # type: ignore[assignment]  # the pattern allows no other
    return toyworld_labels(int(toyworld["draw"]), group)
