"""Videos with the labels of their segments drawn in, as H.264 .mp4 with the original sound."""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ost_lightning.characters import one_line
from ost_lightning.recognition.timelines.exports.sound import Sound
from ost_lightning.recognition.timelines.timeline import Timeline
from ost_lightning.video.decoding import open_video

_CLOCK: Final = Fraction(1, 90_000)
_OPTIONS: Final = {"crf": "21", "preset": "veryfast"}
_BAR_HEIGHT: Final = 1 / 12
"""Share of the picture's height."""
_SMALLEST_BAR: Final = 14
_FONT: Final = "DejaVuSans.ttf"


def write_labeled_video(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes one video anew, upright, with a bar at the bottom that shows the label of the current segment or gap.

    Frames are decoded, drawn on and encoded one after the other, so memory doesn't depend on the length.

    Raises:
        VideoReadError: If the video can't be read.
    """
    (timeline,) = timelines
    captions = _Captions(timeline)
    with (
        open_video(timeline.video) as video,
        av.open(str(file), "w", format="mp4", options={"movflags": "faststart"}) as output,
        Sound(timeline.video) as sound,
    ):
        rate = Fraction(video.rate).limit_denominator(1001) if video.rate else Fraction(25)
        stream = output.add_stream("libx264", rate=rate, options=_OPTIONS)
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", _CLOCK
        stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU709, ColorRange.MPEG
        sound.add_to(output)
        converter, last = VideoReformatter(), -1
        for seconds, frame in video.frames_in_order():
            pixels = np.ascontiguousarray(video.scaler.whole(frame, None).transpose(1, 2, 0))
            if last < 0:  # H.264 in YUV 4:2:0 has even sides
                stream.height, stream.width = (max(2, side // 2 * 2) for side in pixels.shape[:2])
            captions.draw(pixels, seconds)
            picture = converter.reformat(
                av.VideoFrame.from_ndarray(pixels, format="rgb24"),
                width=stream.width,
                height=stream.height,
                format="yuv420p",
                interpolation=Interpolation.BICUBIC,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            last = picture.pts = max(last + 1, round(seconds / _CLOCK))
            picture.time_base = _CLOCK
            sound.copy_until(seconds)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
        sound.copy_until(None)


class _Captions:
    """The texts of a timeline by time."""

    def __init__(self, timeline: Timeline) -> None:
        shown = [
            (segment.start, segment.end, f"{one_line(segment.label)} ({segment.score:.2f})")
            for segment in timeline.segments
        ]
        shown += [(gap.start, gap.end, f"unknown: {one_line(gap.reason)}") for gap in timeline.gaps]
        self._entries = sorted(shown)
        self._starts = [start for start, _, _ in self._entries]

    def draw(self, pixels: NDArray[np.uint8], second: float) -> None:
        """Draws the bar of a time into a picture (H, W, 3); nothing where the video shows none of the classes."""
        index = bisect_right(self._starts, second) - 1
        if index >= 0 and second < self._entries[index][1]:
            height, width = pixels.shape[:2]
            bar = _bar(self._entries[index][2], width, min(height, max(_SMALLEST_BAR, round(height * _BAR_HEIGHT))))
            pixels[height - len(bar) :] = bar


@lru_cache(maxsize=64)
def _bar(text: str, width: int, height: int) -> NDArray[np.uint8]:
    """White text on black, (height, width, 3); a text that is too long ends with dots."""
    size = round(0.62 * height)
    try:
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.truetype(_FONT, size)
    except OSError:  # not installed; this one knows Latin letters only
        font = ImageFont.load_default(size)
    margin = height // 4
    shown = text
    while len(shown) > 1 and font.getlength(shown) > width - 2 * margin:
        shown = f"{shown.rstrip('…')[:-1]}…"
    picture = Image.new("RGB", (width, height), "black")
    ImageDraw.Draw(picture).text((margin, height / 2), shown, fill="white", font=font, anchor="lm")
    return np.asarray(picture)
