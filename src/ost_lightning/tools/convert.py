"""`ost convert`: checkpoints of OpenAI's CLIP, OST and ViFi-CLIP as folders in HF format, and back."""

from pathlib import Path
from typing import Literal


def convert(
    source: Path,
    output: Path,
    pretrained: str = "openai/clip-vit-base-patch16",
    layout: Literal["openai", "released"] = "released",
) -> None:
    """Converts a checkpoint file to a folder in HF format (for `video_clip.pretrained`), or such a folder to a file.

    Files are read as data: code in them is refused, never run. A file that is not exactly one whole CLIP is refused.

    Args:
        source: A .pt or .pth file (state dictionary of OpenAI's CLIP, OST or ViFi-CLIP), or a folder in HF format.
        output: The new folder, or the new file.
        pretrained: From a file: hub id or folder of the CLIP that it was tuned from, for its tokenizer.
        layout: From a folder: the names to write, OpenAI's or those of the released OST and ViFi-CLIP.
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
