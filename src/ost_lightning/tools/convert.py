"""`ost convert`: conversion of OpenAI's CLIP, OST and ViFi-CLIP checkpoints to folders in HF format, and back."""

from pathlib import Path
from typing import Literal


def convert(
    source: Path,
    output: Path,
    pretrained: str = "openai/clip-vit-base-patch16",
    layout: Literal["openai", "released"] = "released",
) -> None:
    """Converts a checkpoint file to a folder in HF format (for `video_clip.pretrained`), or such a folder to a file.

    Files are read as data only: a file that contains code is rejected, and the code never runs. A file that is not
    exactly one complete CLIP is rejected too.

    Args:
        source: File .pt or .pth (state dictionary of OpenAI's CLIP, OST or ViFi-CLIP), or folder in HF format.
        output: New folder, or new file.
        pretrained: Hub id or folder of the CLIP that a source file was fine-tuned from, for its tokenizer.
        layout: Parameter names in an output file: OpenAI's, or those of the released OST and ViFi-CLIP.
    """
    from ost_lightning.models.checkpoints.conversion import RELEASED_NOTICE, export_checkpoint, import_checkpoint

    if source.is_dir():
        count = export_checkpoint(source, output, layout)
        print(f"{output}: {count} tensors in the layout '{layout}'")
        return
    found, report = import_checkpoint(source, output, pretrained)
    print(f"{output}: {report} (layout '{found}')")
    if found == "released":
        print(RELEASED_NOTICE)
