"""`ost convert`: conversion of checkpoints of other programs to folders in HF format, and back."""

import shlex
from pathlib import Path
from typing import Literal

from ost_lightning.errors import CheckpointError, UserError


def convert(
    source: Path,
    output: Path,
    pretrained: str = "openai/clip-vit-base-patch16",
    layout: Literal["openai", "released"] = "released",
    labels: str | None = None,
) -> None:
    """Converts a checkpoint of another program to a folder in HF format, or such a folder to a file.

    `video_clip.pretrained` takes the folder. Files are read as data only: a file that contains code is rejected, and
    the code never runs. Any other file that is not exactly one complete model in a known layout is rejected too: those
    of OpenAI's CLIP, OST, ViFi-CLIP, MAXI, A5, Vita-CLIP, DiST, X-CLIP, ActionCLIP and Text4Vis are known. A checkpoint
    that `ost fit` wrote is for `ost export`.

    Args:
        source: File .pt or .pth with a state dictionary, or folder in HF format.
        output: New folder, or new file.
        pretrained: Hub id or folder of the CLIP that a .pt or .pth file was fine-tuned from, for its tokenizer, and for
            frozen weights that the file omits.
        layout: Parameter names in an output file: OpenAI's, or those of the released OST and ViFi-CLIP.
        labels: Label space of the training, for a file with vectors of single classes (Vita-CLIP).
    """
    from ost_lightning.models.checkpoints.conversion import RELEASED_NOTICE, export_checkpoint, import_checkpoint
    from ost_lightning.models.encoders import is_open_clip
    from ost_lightning.text import LabelSpace

    if is_open_clip(str(source)):
        raise CheckpointError(
            f"{source} is a model of open_clip, which is not converted: the layouts are those of OpenAI's CLIP. "
            "video_clip.pretrained takes the folder as it is."
        )
    if (source / "config.json").is_file():
        count = export_checkpoint(source, output, layout)
        print(f"{output}: {count} tensors in the layout '{layout}'")
    elif _is_own(source):
        raise UserError(
            f"{source} was written by `ost fit`. Its folder for transformers is written by "
            f"`ost export {shlex.quote(str(source))} {shlex.quote(str(output))}`."
        )
    else:
        classes = None if labels is None else LabelSpace.load(labels).names
        found = import_checkpoint(source, output, pretrained, classes)
        print(f"{output}: {found.report} (layout '{found.layout}')")
        if found.layout == "released":
            print(RELEASED_NOTICE)
        if found.overlay is not None:
            settings = {"pretrained": str(output), **found.settings}
            options = [f"--model.video_clip.{name} {shlex.quote(_text(value))}" for name, value in settings.items()]
            options += [f"--data.clips.frames {found.frames}"] if found.frames is not None else []
            print(f"These options use it: --config baselines/{found.overlay} {' '.join(options)}")


def _text(value: object) -> str:
    """Returns a setting as the command reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_own(source: Path) -> bool:
    """Returns whether training wrote a checkpoint, or the newest one in the folder of a run or experiment.

    Raises:
        UserError: If the source is a folder without weights.
    """
    from ost_lightning.models.checkpoints.initial_weights import read_checkpoint
    from ost_lightning.recognition import find_checkpoint

    if (file := find_checkpoint(source)) is None:
        return False
    try:
        read_checkpoint(file)
    except CheckpointError:
        return False
    return True
