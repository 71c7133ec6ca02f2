"""Contact sheet of the rendered world: one video per class as a strip of frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.dataset import RenderedPart, render_part
from ost_lightning.toyworld.difficulty import DIFFICULTIES
from ost_lightning.toyworld.scene import FRAME_SIDE
from ost_lightning.video import FrameSampler, read_frames

_SCALE: Final = 1.5
_TEXT_WIDTH: Final = 330
_FRAMES: Final = 8


def draw_contact_sheet(part: RenderedPart, classes: Sequence[int], file: Path) -> None:
    """Draws the first video of each class, decoded from its file, next to the descriptors of the class.

    Args:
        part: Part with the videos, which is rendered if it does not exist.
        classes: Indices of the classes to draw.
        file: Path of the PNG file to write.
    """
    side = round(FRAME_SIDE * _SCALE)
    sheet = Image.new("RGB", (_TEXT_WIDTH + _FRAMES * side, len(classes) * (side + 4)), "white")
    pen, font, bold = ImageDraw.Draw(sheet), ImageFont.load_default(11), ImageFont.load_default(14)
    folder = render_part(part)
    labels = LabelSpace.load(part.label_folder())
    indices = FrameSampler(_FRAMES).middle(DIFFICULTIES[part.difficulty].frames)[0]
    for row, index in enumerate(classes):
        name, top = labels.names[index], row * (side + 4)
        written = labels.descriptors[name]
        pen.text((6, top + 2), name, fill="black", font=bold)
        texts = (*written.spatio, *(f"{k}. {text}" for k, text in enumerate(written.temporal, start=1)))
        pen.multiline_text((6, top + 20), "\n".join(texts), fill="dimgray", font=font, spacing=0)
        clip = read_frames(folder / f"{name.replace(' ', '_')}_000.mp4", indices, short_side=None)
        for column, frame in enumerate(clip):
            picture = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (_TEXT_WIDTH + column * side, top))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256).save(file, format="PNG", optimize=True)
